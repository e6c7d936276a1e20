"""A run's branch on git's remote: made from a revision and a recipe, once everything that can be refused early is."""

from pathlib import Path

from understudy.adapters import remote_data
from understudy.adapters.workspace import PREFIX, Workspace, clone, commit, lead_to_local_data, repository, tip
from understudy.errors import UserError
from understudy.git import git, git_or_none
from understudy.params.active import load_all
from understudy.recipes import find, use

PARAMS, RECIPES = "params.yaml", "recipes"


def open_run(folder: Path, recipe: str | None, revision: str, run: str) -> Workspace:
    """A clone in `folder` of the branch of this run, which is made and pushed if it is not there yet.

    recipe: by name, becomes params.yaml; None: params.yaml as it is at `revision`. run: what tells this run from all
    others. Raises UserError, before anything is made, for a repository or revision that is not there, parameters that
    do not load, an unknown recipe, and data or a remote that no stage could reach.
    """
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "ls-remote", "--quiet", repository(), "HEAD",
        wrong=f"{repository()}: git cannot reach it (UNDERSTUDY_REPOSITORY)")  # fmt: skip
    clone(folder)
    start = tip(folder, revision) or git_or_none(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if revision == "HEAD":
        start = git(folder, "ls-remote", repository(), "HEAD").split()[0]
    if not start:
        raise UserError(f"revision {revision}: {repository()} has no such branch, tag or commit")
    git(folder, "checkout", "--quiet", "--force", "--detach", start)
    lead_to_local_data(folder)
    name = recipe or _recipe_of(folder) or "params"
    here = Workspace(folder, f"{PREFIX}{name}-{start[:7]}-{run}")
    if tip(folder, here.branch):
        return join(folder, here.branch)
    if recipe is not None:
        use(find(folder / RECIPES, recipe), folder / PARAMS, force=True)
    check(folder)
    git(folder, "checkout", "--quiet", "-B", here.branch)
    git(folder, "add", "--", PARAMS)
    if git(folder, "diff", "--cached", "--name-only"):
        commit(folder, f"recipe {name} at {start[:7]}")
    here.push()
    return here


def join(folder: Path, branch: str) -> Workspace:
    """A clone in `folder` of a run's branch that is there, to go on with it. Raises UserError as `open_run` does."""
    clone(folder)
    here = Workspace(folder, branch)
    here.check_out()
    lead_to_local_data(folder)
    check(folder)
    return here


def newest(folder: Path) -> str:
    """The run branch on git's remote that was committed to last; `folder` becomes a clone. Raises UserError when there
    is none."""
    clone(folder)
    if not (found := run_branches(folder)):
        raise UserError(f"{repository()}: has no branch {PREFIX}*; `python -m flows.compress` makes one")
    return found[0]


def run_branches(root: Path, pattern: str = "*") -> list[str]:
    """Those that git's remote had when it was last fetched, the one that was committed to last first."""
    return git(root, "for-each-ref", "--sort=-committerdate", "--format=%(refname:lstrip=3)",
               f"refs/remotes/origin/{PREFIX}{pattern}").splitlines()  # fmt: skip


def check(root: Path) -> None:
    """Refuse what would fail hours later: parameters, the source of the data, DVC's remote and its credentials."""
    load_all(root / PARAMS)
    source = remote_data.source(root)
    if source and "://" not in source and not (root / source).exists() and not (root / f"{source}.dvc").exists():
        raise UserError(f"prepare.source: {source} is not in {repository()}; commit it, `dvc add` it and commit "
                        f"{source}.dvc, or name a description of datasets/ that says where it can be had")  # fmt: skip
    remote_data.check(root)


def _recipe_of(root: Path) -> str | None:
    """The recipe that params.yaml equals."""
    text = (root / PARAMS).read_bytes()
    return next((path.stem for path in sorted((root / RECIPES).glob("*.yaml")) if path.read_bytes() == text), None)
