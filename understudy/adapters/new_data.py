"""New data at the same address: which of it has to be fetched, and which DVC notices by itself.

`prepare.source` is one of these; only the last has to be asked for.

- a description in datasets/: it names its data by SHA-256 or draws it; other data is another commit;
- an address on S3: `dvc status` lists it and compares ETags;
- a folder or file that git or `dvc add` keeps: other data is another commit;
- a folder or file beside the repository on this machine: `dvc status` hashes it;
- a folder or file that `dvc import-url` or `dvc import` brought here: DVC leaves it as it is until `dvc update`.
"""

from understudy.adapters import remote_data
from understudy.adapters.workspace import Workspace, commit
from understudy.git import git
from understudy.params.loader import read


def fetch(here: Workspace, said: remote_data.Said) -> str:
    """Have an import be what is at its address now, pushed and committed to the run's branch. A sentence about it.

    Raises UserError when the address does not answer; then nothing has changed.
    """
    source = remote_data.source(here.root)
    pointer = f"{source}.dvc"
    if source is None or not (here.root / pointer).exists():
        return f"{source}: DVC compares it" if source else "the project names no source"
    if not read(here.root / pointer).get("deps"):
        return f"{source}: new data is another commit of {pointer}"
    remote_data.update(here.root, pointer, said)
    git(here.root, "add", "--", pointer)
    if not git(here.root, "diff", "--cached", "--name-only"):
        return f"{source}: unchanged at its address"
    remote_data.push_files(here.root, [pointer], said)
    commit(here.root, f"new data: {source}")
    here.push()
    return f"{source}: fetched anew"
