"""Writes ../vectors.jsonl: JSON, and what Python's and Go's protobuf libraries make of it.

Needs grpcio-tools and protobuf for Python, and Go: python vectors.py > ../vectors.jsonl
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, empty_pb2, field_mask_pb2  # noqa: F401
from google.protobuf import json_format, message_factory, struct_pb2, timestamp_pb2, wrappers_pb2  # noqa: F401

from cases import cases

HERE = pathlib.Path(__file__).parent


def python(message, text):
    results = []
    for ignore in (False, True):
        try:
            parsed = json_format.Parse(text, message(), ignore_unknown_fields=ignore)
            results.append(parsed.SerializeToString(deterministic=True).hex())
        except Exception:  # It raises many kinds.
            results.append(None)
    return results


def main():
    with tempfile.TemporaryDirectory() as folder:
        descriptors = pathlib.Path(folder, "descriptors.bin")
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE.parent}", "--include_imports"]
        subprocess.run([*protoc, f"--descriptor_set_out={descriptors}", "json.proto"], check=True)
        texts = list(dict.fromkeys(cases()))
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        go = subprocess.run(["go", "run", ".", descriptors], cwd=HERE, input=lines, text=True, check=True, stdout=-1)
        pool = descriptor_pool.Default()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
            if not file.name.startswith("google/"):
                pool.AddSerializedFile(file.SerializeToString())
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.json.All"))
    for text, line in zip(texts, go.stdout.splitlines(), strict=True):
        *results, out = json.loads(line)
        vector = {"json": text, "go": results}
        if (own := python(message, text)) != results:
            vector["python"] = own
        if out is not None:
            # Go puts spaces at random.
            vector["out"] = json.dumps(json.loads(out), separators=(",", ":"))
        print(json.dumps(vector, separators=(",", ":")))


if __name__ == "__main__":
    main()
