"""The addresses of loopback that stand for the names of compose.yaml's services."""

import pathlib
import socket

# The service and its port in its container, and the port on this machine.
USUAL = {
    "orders-1:50051": 50051,
    "orders-2:50051": 50052,
    "orders-1:9464": 9464,
    "orders-2:9464": 9465,
    "collector:4317": 4317,
    "collector:8888": 8888,
    "prometheus:9090": 9090,
    "grafana:3000": 3000,
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Ports:
    """Which port stands for which."""

    def __init__(self, ports, scrape_interval):
        self.ports = ports
        self.scrape_interval = scrape_interval

    @classmethod
    def usual(cls):
        return cls(USUAL, "5s")

    @classmethod
    def free(cls):
        return cls({name: free_port() for name in USUAL}, "1s")

    def of(self, name):
        return f"127.0.0.1:{self.ports[name]}"

    def rewritten(self, file, to):
        """A copy of a file for containers, with the addresses and paths of this machine."""
        text = file.read_text()
        for name in self.ports:
            text = text.replace(name, self.of(name))
        for before, after in [
            ("0.0.0.0:4317", self.of("collector:4317")),
            ("host: 0.0.0.0", "host: 127.0.0.1"),
            ("port: 8888", f"port: {self.ports['collector:8888']}"),
            ("_interval: 5s", f"_interval: {self.scrape_interval}"),
            ("/etc/grafana/dashboards", str(pathlib.Path(__file__).resolve().parents[1] / "metrics-layer" / "grafana")),
        ]:
            text = text.replace(before, after)
        to.write_text(text)
        return to
