"""Checks deploy/kubernetes: by the schemas of Kubernetes, by the flags of orders, and by starting orders with them.

Usage: manifests.py PATH_OF_ORDERS
"""

import copy
import pathlib
import re
import sys

import kubernetes_validate
import yaml
from flags import Findings, flags, seconds, unknown_variables
from started import check_started

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "kubernetes.md"
# Kinds that Kubernetes does not bring: there is no schema of them here.
FOREIGN = {"Certificate", "PodMonitor"}
KUBERNETES = "1.37"


def documents():
    """All manifests but the patch, by kind; and the patch."""
    folder = ROOT / "deploy" / "kubernetes"
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        if file.name != "mesh.yaml":
            for document in yaml.safe_load_all(file.read_text()):
                found[document["kind"]] = document
    return found, yaml.safe_load((folder / "mesh.yaml").read_text())


def patched(to, patch):
    """A strategic merge, as Kubernetes does it: lists whose items have names are merged by these."""
    if isinstance(to, dict) and isinstance(patch, dict):
        return {**to, **{key: patched(to.get(key), value) for key, value in patch.items()}}
    if isinstance(to, list) and patch and all(isinstance(item, dict) and "name" in item for item in patch):
        merged = {item["name"]: item for item in to}
        for item in patch:
            merged[item["name"]] = patched(merged.get(item["name"]), item)
        return list(merged.values())
    return patch


def validate(document, what, findings):
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(map(str, error.path))
        findings.expect(False, f"{what}: {path}: {error.message}")


def container(deployment):
    [only] = deployment["spec"]["template"]["spec"]["containers"]
    return only


def environment(deployment):
    return {entry["name"]: entry["value"] for entry in container(deployment)["env"]}


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def check_orders(orders, deployment, findings):
    """Variables, ports and times are those of `orders serve`."""
    settings = environment(deployment)
    findings.expect(container(deployment)["args"] == ["serve"], "orders does not serve")
    if unknown := unknown_variables(orders, settings):
        sys.exit(f"no flag is set by {', '.join(unknown)}")
    ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
    for name, variable in [("grpc", "ORDERS_LISTEN"), ("health", "ORDERS_HEALTH"), ("metrics", "ORDERS_METRICS")]:
        listened = port_of(settings[variable])
        findings.expect(ports[name] == listened, f"the port {name} is {ports[name]}, and {variable} {listened}")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        port = container(deployment)[probe]["grpc"]["port"]
        findings.expect(port == ports["health"], f"{probe}: {port} is not the port of health")
    pod = deployment["spec"]["template"]["spec"]
    grace, limit = pod["terminationGracePeriodSeconds"], seconds(settings["ORDERS_DRAIN_LIMIT"])
    findings.expect(grace > limit, f"the pod is killed after {grace} s, before the drain limit of {limit} s")
    return ports


def check_scrape(manifests, mesh, ports, findings):
    annotations = manifests["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    findings.expect(annotations["prometheus.io/port"] == str(ports["metrics"]), "another port is scraped")
    [endpoint] = manifests["PodMonitor"]["spec"]["podMetricsEndpoints"]
    findings.expect(endpoint["port"] == "metrics" and "metrics" in ports, "PodMonitor: another port is scraped")
    for path in (annotations["prometheus.io/path"], endpoint["path"]):
        findings.expect(path == "/metrics", f"there is nothing to scrape at {path}")
    annotations = mesh["spec"]["template"]["metadata"]["annotations"]
    outside = annotations["traffic.sidecar.istio.io/excludeInboundPorts"].split(",")
    expected = {str(ports["metrics"]), str(ports["health"])}
    findings.expect(set(outside) == expected, f"mesh: {outside} are outside of it")


def check_names(manifests, ports, findings):
    """Who selects whom."""
    deployment, service = manifests["Deployment"], manifests["Service"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "Deployment": deployment["spec"]["selector"]["matchLabels"],
        "Service": service["spec"]["selector"],
        "PodDisruptionBudget": manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "PodMonitor": manifests["PodMonitor"]["spec"]["selector"]["matchLabels"],
    }
    for name, selector in selectors.items():
        findings.expect(selector.items() <= labels.items(), f"{name}: it selects {selector}, and pods have {labels}")
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    findings.expect(account == manifests["ServiceAccount"]["metadata"]["name"], f"there is no {account}")
    findings.expect(service["spec"]["clusterIP"] == "None", "the service is not headless")
    for port in service["spec"]["ports"]:
        # A headless service does not translate ports.
        findings.expect(ports.get(port["targetPort"]) == port["port"], f"the service has the port {port}")


def check_files(manifests, findings):
    """The files of TLS are in the mounted secret, which the certificate makes."""
    deployment, certificate = manifests["Deployment"], manifests["Certificate"]["spec"]
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    mounts = container(deployment)["volumeMounts"]
    secrets = [mount for mount in mounts if "secret" in volumes[mount["name"]]]
    settings = environment(deployment)
    for variable, key in [("TLS_CERT", "tls.crt"), ("TLS_KEY", "tls.key"), ("CLIENT_CA", "ca.crt")]:
        path = settings[f"ORDERS_{variable}"]
        findings.expect(path == f"{secrets[0]['mountPath']}/{key}", f"ORDERS_{variable}: {path} is not mounted")
    for mount in mounts:
        findings.expect("subPath" not in mount, f"{mount['name']}: a subPath is never renewed")
    secret = volumes[secrets[0]["name"]]["secret"]["secretName"]
    findings.expect(secret == certificate["secretName"], f"nothing makes the secret {secret}")
    host = manifests["Service"]["metadata"]["name"]
    findings.expect(host in certificate["dnsNames"], f"the certificate is not for {host}")
    folder = str(pathlib.PurePath(settings["ORDERS_DB"]).parent)
    writable = [mount["mountPath"] for mount in mounts if "emptyDir" in volumes[mount["name"]]]
    findings.expect(folder in writable, f"the database is in {folder}, which is no volume")


def check_page(orders, findings):
    """Flags and variables on the page are those of `orders serve`."""
    text = PAGE.read_text()
    known = flags(orders, "serve")
    for flag in set(re.findall(r"`--([a-z-]+)", text)):
        findings.expect(flag in known, f"{PAGE.name}: there is no flag --{flag}")
    variables = set(re.findall(r"ORDERS_[A-Z_]+", text))
    findings.found += [f"{PAGE.name}: no flag is set by {name}" for name in unknown_variables(orders, variables)]


def main(orders):
    findings = Findings()
    manifests, patch = documents()
    deployment = manifests["Deployment"]
    mesh = patched(copy.deepcopy(deployment), patch)
    for kind, document in manifests.items():
        if kind not in FOREIGN:
            validate(document, kind, findings)
    validate(mesh, "mesh", findings)
    # What follows expects well-formed ones.
    findings.stop()
    ports = check_orders(orders, deployment, findings)
    check_orders(orders, mesh, findings)
    check_scrape(manifests, mesh, ports, findings)
    check_names(manifests, ports, findings)
    check_files(manifests, findings)
    check_page(orders, findings)
    findings.end(f"{len(manifests)} manifests and the patch agree with Kubernetes {KUBERNETES} and orders")
    check_started(orders, environment(deployment), environment(mesh), container(deployment))


if __name__ == "__main__":
    main(*sys.argv[1:])
