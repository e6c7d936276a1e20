#!/bin/bash
# The gate on a pull request, for any CI: infra/gate.sh [AGAINST]. docs/ci-gate.md tells what it needs.
#
# AGAINST is what the branch would be merged into (default: origin/main, on GitHub the pull request's own target). Leaves
# .understudy/review/review.md and pictures beside it, and exits with what `understudy review` exits with: 0 passed,
# 3 failed, 4 cannot be judged, 5 stale. On GitHub it also writes the job's summary and the one comment.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
folder=.understudy/review

options=(--against "${1:-origin/${GITHUB_BASE_REF:-main}}" --output "$folder")
if [ -n "${GITHUB_RUN_ID:-}" ]; then
  options+=(--link "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID#artifacts")
fi

code=0
understudy review "${options[@]}" || code=$?

if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$folder/review.md" ]; then
  cat "$folder/review.md" >> "$GITHUB_STEP_SUMMARY"
fi
# A comment that cannot be written does not change the verdict.
if [ -n "${GITHUB_TOKEN:-}" ] && [ -f "$folder/review.md" ]; then
  python -m understudy.adapters.github "$folder/review.md" || echo "::warning::the review is in the job's summary alone"
fi
exit "$code"
