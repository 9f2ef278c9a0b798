"""What a schema does not check of deploy/compose.yaml: files, flags, variables, ports and users.

Usage: compose.py PATH_OF_ORDERS PATH_OF_COLLECTOR
"""

import json
import pathlib
import re
import sys

import yaml
from flags import Findings, flags, seconds, unknown_variables

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(DEPLOY))

from ports import USUAL  # noqa: E402

ORDERS = ["orders-1", "orders-2"]


def read(path):
    return yaml.safe_load((DEPLOY / path).read_text())


def variables(path):
    lines = (DEPLOY / path).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def mounts(service):
    """The mounted files and folders, by their path in the container."""
    parts = [mount.split(":") for mount in service.get("volumes", [])]
    return {to: source for source, to, *_ in parts if source.startswith(".")}


def check_files(services, findings):
    for name, service in services.items():
        for source in mounts(service).values():
            findings.expect((DEPLOY / source).exists(), f"{name}: there is no {source}")
        for port in service.get("ports", []):
            findings.expect(port.startswith("127.0.0.1:"), f"{name}: the port {port} is for more than this machine")
        findings.expect(not re.search(r":latest$|^[^:]+$", service["image"]), f"{name}: {service['image']} is no version")


def check_orders(orders, services, findings):
    settings = variables("orders.env")
    if unknown := unknown_variables(orders, settings):
        sys.exit(f"orders.env: no flag is set by {', '.join(unknown)}")
    for name in ORDERS:
        service = services[name]
        findings.expect(service["env_file"] == "orders.env", f"{name}: its settings are not those of orders.env")
        findings.expect(
            seconds(service["stop_grace_period"]) > seconds(settings["ORDERS_DRAIN_LIMIT"]),
            f"{name}: it is killed before its drain limit",
        )
        build = service["build"]
        context = (DEPLOY / build["context"]).resolve()
        findings.expect(context == ROOT, f"{name}: it is built from {context}")
        findings.expect((context / build["dockerfile"]).is_file(), f"{name}: there is no {build['dockerfile']}")
    folder = pathlib.PurePath(settings["ORDERS_DEV_KEY"]).parent
    volumes = {mount.split(":")[1] for mount in services[ORDERS[0]]["volumes"]}
    findings.expect(str(folder) in volumes, f"the development key is in {folder}, which is no volume")
    collector = settings["ORDERS_OTLP"].removeprefix("http://")
    findings.expect(collector in USUAL, f"orders.env: {collector} is not the collector")
    return settings


def check_flags(services, collector, findings):
    for name, program in [("prometheus", "prometheus"), ("collector", collector)]:
        known = flags(program)
        for word in services[name]["command"]:
            flag = word.removeprefix("--").split("=")[0]
            findings.expect(flag in known, f"{name}: there is no flag --{flag}")
    for name in ("prometheus", "collector"):
        values = [word.split("=")[1] for word in services[name]["command"] if word.startswith("--config")]
        file = values[0] if values else "a configuration"
        findings.expect(file in mounts(services[name]), f"{name}: {file} is not mounted")


def listened(settings):
    """The ports on which each service listens, by the settings that are mounted or given."""
    of_orders = {settings[f"ORDERS_{flag}"].rsplit(":", 1)[1] for flag in ("LISTEN", "METRICS")}
    config = read("collector.yaml")
    receiver = config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    reader = config["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]
    return {
        **{name: of_orders for name in ORDERS},
        "collector": {receiver.rsplit(":", 1)[1], str(reader["port"])},
        # Their own defaults.
        "prometheus": {"9090"},
        "grafana": {"3000"},
    }


def check_ports(services, settings, findings):
    ports = listened(settings)
    scraped = [
        target
        for job in read("prometheus.yml")["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    source = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]["url"]
    for address in [*scraped, *USUAL, source.removeprefix("http://"), settings["ORDERS_OTLP"].removeprefix("http://")]:
        name, port = address.split(":")
        findings.expect(port in ports.get(name, ()), f"nothing listens on {address}")
    for name in ORDERS:
        findings.expect(f"{name}:9464" in scraped, f"{name} is not scraped")
    for name, service in services.items():
        for port in service.get("ports", []):
            published, inner = port.removeprefix("127.0.0.1:").split(":")
            findings.expect(inner in ports[name], f"{name}: it does not listen on {inner}")
            usual = USUAL[f"{name}:{inner}"]
            findings.expect(int(published) == usual, f"{name}: without Docker the port {inner} is {usual}, not {published}")


def check_grafana(grafana, findings):
    provider = read("grafana/provisioning/dashboards/dashboards.yaml")["providers"][0]
    folder = pathlib.PurePath(provider["options"]["path"])
    files = [source for to, source in mounts(grafana).items() if pathlib.PurePath(to).parent == folder]
    findings.expect(len(files) == 1, f"grafana: {len(files)} dashboards are mounted in {folder}")
    for file in files:
        dashboard = json.loads((DEPLOY / file).read_text())
        findings.expect(dashboard["uid"] == "tonic-layers-grpc", f"{file} is another dashboard")
    findings.expect("/etc/grafana/provisioning" in mounts(grafana), "grafana: nothing is provisioned")


def check_dockerfile(findings):
    lines = [line.split() for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.strip()]

    def of(word):
        return [line[1:] for line in lines if line[0] == word]

    rust = re.search(r"rust:([\d.]+)-", of("FROM")[0][0]).group(1)
    stable = re.search(r'STABLE: "([\d.]+)"', (ROOT / ".github/workflows/ci.yml").read_text()).group(1)
    findings.expect(stable.startswith(rust), f"Dockerfile: Rust {rust}, and {stable} in CI")
    findings.expect(of("USER") and not of("USER")[-1][0].startswith(("0", "root")), "Dockerfile: it runs as root")
    entry = json.loads(" ".join(of("ENTRYPOINT")[-1]))[0]
    copied = [words[-1] for words in of("COPY") if words[0].startswith("--from=build")]
    findings.expect(entry in copied, f"Dockerfile: {entry} is not copied")
    folder = pathlib.PurePath(variables("orders.env")["ORDERS_DEV_KEY"]).parent
    findings.expect(str(folder) in copied, f"Dockerfile: {folder} does not belong to its user")


def main(orders, collector):
    findings = Findings()
    services = read("compose.yaml")["services"]
    check_files(services, findings)
    settings = check_orders(orders, services, findings)
    check_flags(services, collector, findings)
    check_ports(services, settings, findings)
    check_grafana(services["grafana"], findings)
    check_dockerfile(findings)
    findings.end(f"{len(services)} services: files, flags, variables and ports agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
