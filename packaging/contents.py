#!/usr/bin/env python3
"""contents.py FOLDER VERSION DATE <METADATA: says what is in the program, from `cargo metadata` and Cargo.lock.

FOLDER gets sbom.cdx.json (CycloneDX) and third-party-licenses.txt: who gives a program to others passes on the
licences of what is in it.
"""

import glob
import json
import os
import re
import sys

folder, version, date = sys.argv[1:]
data = json.load(sys.stdin)
nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
root = data["resolve"]["root"]
seen, todo = set(), [root]
while todo:  # what is compiled into the program or builds it: no crate of the tests
    at = todo.pop()
    if at not in seen:
        seen.add(at)
        todo += [dep["pkg"] for dep in nodes[at]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
packages = [package for package in data["packages"] if package["id"] in seen and package["id"] != root]
packages.sort(key=lambda package: (package["name"], package["version"]))

with open(os.path.join(data["workspace_root"], "Cargo.lock")) as file:
    sums = {(name, of): text for name, of, text in re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"', file.read())}


def licence(package):
    return (package.get("license") or "").replace("/", " OR ").replace("  ", " ")


def part(package):
    name, of = package["name"], package["version"]
    purl = "pkg:cargo/%s@%s" % (name, of.replace("+", "%2B"))
    made = {"type": "library", "bom-ref": purl, "name": name, "version": of, "purl": purl}
    if (name, of) in sums:
        made["hashes"] = [{"alg": "SHA-256", "content": sums[name, of]}]
    if licence(package):
        made["licenses"] = [{"expression": licence(package)}]
    return made


parts = [part(package) for package in packages]
for package in packages:
    if package["name"] == "openssl-src":  # its version holds OpenSSL's own, which holes are announced for
        own = package["version"].split("+")[1]
        parts.append({"type": "library", "bom-ref": "openssl@" + own, "name": "openssl", "version": own,
                      "cpe": "cpe:2.3:a:openssl:openssl:%s:*:*:*:*:*:*:*" % own, "licenses": [{"expression": "Apache-2.0"}]})
sbom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": date + "T00:00:00Z",
                     "component": {"type": "application", "bom-ref": "pmp-ha", "name": "pmp-ha", "version": version}},
        "components": parts}
with open(os.path.join(folder, "sbom.cdx.json"), "w") as file:
    json.dump(sbom, file, indent=1)
    file.write("\n")

# Each text once, below the crates that have it. Two crates carry the source of a library with a text of its own.
texts = {}
for package in packages:
    at = os.path.dirname(package["manifest_path"])
    found = [path for name in ("LICEN[CS]E*", "license*", "COPYING*", "NOTICE*", "*/LICENSE*")
             for path in glob.glob(os.path.join(at, name)) if os.path.isfile(path)]
    for path in sorted(set(found)):
        with open(path, encoding="utf-8", errors="replace") as file:
            text = "\n".join(line.rstrip() for line in file.read().strip().splitlines())
        texts.setdefault(text, []).append("%s %s" % (package["name"], package["version"]))
with open(os.path.join(folder, "third-party-licenses.txt"), "w") as file:
    file.write("pmp-ha contains the following libraries.\n\n")
    for package in packages:
        file.write("%s %s: %s\n" % (package["name"], package["version"], licence(package) or "see below"))
    for text, names in texts.items():
        file.write("\n%s\n%s\n\n%s\n" % ("-" * 80, ", ".join(dict.fromkeys(names)), text))
