"""The server over a teacher and over its student: p50, p99 and requests a second, by ONNX Runtime and by torch.

Four real servers (`understudy serve`) in one run, asked in turn, so that the ratios mean something on a noisy machine:
one client for the latency, several for the rate. A request is an input of the test split as a PNG file, an answer its
photo as a PNG file; each client keeps its connection.

Run      python -m benchmarks.serving [--root DIR]   (the folder of a finished run)
Takes    two minutes on two CPU cores, four of them idle servers' starts
"""

import argparse
import datetime
import os
import platform
import shutil
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

from benchmarks.load import Load, Request, drive
from benchmarks.server import Server
from understudy.data.prepared import load_info
from understudy.export.network import write_onnx
from understudy.export.record import FILES
from understudy.files import sha256
from understudy.gate import DATASET, STUDENT, TEST_SPLIT
from understudy.grid import spread
from understudy.weights import load_generator

NETWORKS = {"teacher": "artifacts/teacher", "student": "artifacts/distill"}
RUNTIMES = ("onnx", "torch")
MANY = 8  # clients of the rate
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--requests", type=int, default=300, help="of each server, clients and round")
    parser.add_argument("--threads", type=int, default=1, help="of each translation")
    arguments = parser.parse_args()
    root: Path = arguments.root
    servers: dict[tuple[str, str], Server] = {}
    with tempfile.TemporaryDirectory() as name:
        try:
            for network, folder in NETWORKS.items():
                place = run_of(root, root / folder, Path(name) / network)
                for runtime in RUNTIMES:
                    log = Path(name) / f"{network}-{runtime}.log"
                    options = ("--root", str(place), "--runtime", runtime, "--threads", str(arguments.threads))
                    servers[network, runtime] = Server(log, "student", *options)
            inputs = requests(root, arguments.requests)
            loads = {clients: measure(servers, inputs, clients) for clients in (1, MANY)}
        finally:
            for server in servers.values():
                server.kill()
    print(report(root, loads, arguments.threads))


def run_of(root: Path, network: Path, folder: Path) -> Path:
    """A folder in which a network stands where a student does, with its exported file."""
    for source, target in zip((network / "arch.json", network / "weights.safetensors"), STUDENT, strict=True):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / target)
    (folder / DATASET).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / DATASET, folder / DATASET)
    arch, net = load_generator(*(folder / path for path in STUDENT))
    (folder / FILES["onnx"]).parent.mkdir(parents=True, exist_ok=True)
    write_onnx(net.eval(), arch, load_info(root / DATASET), sha256(folder / STUDENT[1]), folder / FILES["onnx"])
    return folder


def requests(root: Path, count: int) -> list[Request]:
    """Inputs of the test split, as they lie there, over and over."""
    with zipfile.ZipFile(root / TEST_SPLIT) as archive:
        entries = sorted(entry for entry in archive.namelist() if entry.startswith("input/"))
        files = [archive.read(entries[index]) for index in spread(len(entries)).tolist()]
    return [Request("/translate", files[index % len(files)]) for index in range(count)]


def measure(servers: dict[tuple[str, str], Server], inputs: list[Request], clients: int) -> dict[tuple[str, str], Load]:
    """All rounds of every server, one server at a time. Raises RuntimeError when a request is not answered."""
    total: dict[tuple[str, str], Load] = defaultdict(Load)
    for server in servers.values():
        drive(server.port, inputs[:50], clients)  # what is set up once is not measured
    for _ in range(ROUNDS):
        for name, server in servers.items():
            load = drive(server.port, inputs, clients)
            if set(load.statuses) != {200}:
                raise RuntimeError(f"{name}: {load.statuses} {load.reasons}")
            total[name].seconds += load.seconds
            total[name].elapsed += load.elapsed
    return dict(total)


def report(root: Path, loads: dict[int, dict[tuple[str, str], Load]], threads: int) -> str:
    """Tables in Markdown, and when and on what they were measured."""
    height, width = load_info(root / DATASET).size
    lines = [
        f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, {threads} thread(s) a translation, "
        f"{load_info(root / DATASET).name} at {width} x {height}, PNG in and out, server and clients on one machine.",
        "",
        f"| network | runtime | p50, ms | p99, ms | p50 of {MANY} clients | p99 of {MANY} clients | requests/s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (network, runtime), alone in loads[1].items():
        many = loads[MANY][network, runtime]
        cells = [alone.at(0.5), alone.at(0.99), many.at(0.5), many.at(0.99), many.rate]
        lines.append(f"| {network} | {runtime} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    lines += ["", "| ratio | p50 | p99 | requests/s |", "| --- | ---: | ---: | ---: |"]
    pairs = [(("teacher", runtime), ("student", runtime), f"teacher / student, {runtime}") for runtime in RUNTIMES]
    pairs += [((network, "torch"), (network, "onnx"), f"torch / onnx, {network}") for network in NETWORKS]
    for slow, fast, name in pairs:
        one, other = loads[1][slow], loads[1][fast]
        rate = loads[MANY][fast].rate / loads[MANY][slow].rate
        latency = [one.at(share) / other.at(share) for share in (0.5, 0.99)]
        lines.append(f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in (*latency, rate))} |")
    return "\n".join(lines)


def processor() -> str:
    """The processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
