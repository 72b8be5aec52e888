"""Reads a manifest for the tests; needs PyYAML.

    manifest.py pod-security LEVEL FILE   prints a line a violation of the Pod Security Standards: `DEPLOYMENT: CONTROL: what`
    manifest.py stack FILE                prints a line a thing that does not fit together or is open
                                          (both take several files, and print a line `--` after each)
    manifest.py same FILE FILE            prints the objects of the proxy's namespace in which two manifests differ
    manifest.py play FILE IMAGE NAME DIR  prints what Podman 4.3 can run of ComfyUI's Pod, under NAME, with IMAGE, its secrets in DIR;
                                          with a further word without the claims
"""

import ipaddress
import sys

import yaml

APP, EGRESS = "takumi", "takumi-egress"


def load(file):
    with open(file, encoding="utf-8") as stream:
        return [document for document in yaml.load_all(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document]


def of_kind(documents, kind, namespace=None):
    for document in documents:
        if document["kind"] == kind and namespace in (None, document["metadata"].get("namespace")):
            yield document


# https://kubernetes.io/docs/concepts/security/pod-security-standards/ , as of Kubernetes 1.34, without the controls for Windows.
BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}


def containers_of(pod):
    return [each for kind in ("initContainers", "containers", "ephemeralContainers") for each in pod.get(kind, [])]


def pod_security(level, *files):
    assert level in ("baseline", "restricted"), level
    for file in files:
        for deployment in of_kind(load(file), "Deployment"):
            template = deployment["spec"]["template"]
            for control, what in violations(level, template["metadata"], template["spec"]):
                print(f"{deployment['metadata']['name']}: {control}: {what}")
        print("--")


def violations(level, metadata, pod):
    yield from baseline(metadata, pod)
    if level == "restricted":
        yield from restricted(pod)


def baseline(metadata, pod):
    of_pod = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield "host namespaces", name
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield "hostPath volumes", volume["name"]
    for sysctl in of_pod.get("sysctls", []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield "sysctls", sysctl["name"]
    for name, value in metadata.get("annotations", {}).items():
        if name.startswith("container.apparmor.security.beta.kubernetes.io/"):
            if value != "runtime/default" and not value.startswith("localhost/"):
                yield "AppArmor", f"{name}: {value}"
    for where, context in [("pod", of_pod)] + [(each["name"], each.get("securityContext", {})) for each in containers_of(pod)]:
        if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in ("RuntimeDefault", "Localhost"):
            yield "AppArmor", where
        labels = context.get("seLinuxOptions", {})
        if labels.get("type", "") not in SELINUX_TYPES or labels.get("user") or labels.get("role"):
            yield "SELinux", where
        if context.get("seccompProfile", {}).get("type", "RuntimeDefault") not in ("RuntimeDefault", "Localhost"):
            yield "seccomp", where
    for container in containers_of(pod):
        name, context = container["name"], container.get("securityContext", {})
        if context.get("privileged"):
            yield "privileged containers", name
        for capability in context.get("capabilities", {}).get("add", []):
            if capability not in BASELINE_CAPABILITIES:
                yield "capabilities", f"{name} adds {capability}"
        if context.get("procMount", "Default") != "Default":
            yield "/proc mount type", name
        for port in container.get("ports", []):
            if port.get("hostPort", 0) != 0:
                yield "host ports", name
        lifecycle = container.get("lifecycle", {})
        hooks = [container.get(kind) for kind in ("livenessProbe", "readinessProbe", "startupProbe")] + list(lifecycle.values())
        for hook in hooks:
            if hook and any(hook.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
                yield "host probes and lifecycle hooks", name


def restricted(pod):
    of_pod = pod.get("securityContext", {})
    for volume in pod.get("volumes", []):
        for kind in set(volume) - {"name"} - RESTRICTED_VOLUMES:
            yield "volume types", f"{volume['name']} is a {kind}"
    if of_pod.get("runAsUser") == 0:
        yield "running as non-root user", "pod"
    for container in containers_of(pod):
        name, context = container["name"], container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False:
            yield "privilege escalation", name
        if context.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is not True:
            yield "running as non-root", name
        if context.get("runAsUser") == 0:
            yield "running as non-root user", name
        profile = context.get("seccompProfile", of_pod.get("seccompProfile", {}))
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccomp", f"{name} names no profile"
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield "capabilities", f"{name} does not drop ALL"
        for capability in capabilities.get("add", []):
            if capability != "NET_BIND_SERVICE":
                yield "capabilities", f"{name} adds {capability}"


def stack(*files):
    for file in files:
        for line in faults(load(file)):
            print(line)
        print("--")


def faults(documents):
    """What would be open, or would not come up, though every object is valid."""
    by_name = {each["metadata"]["name"]: each["spec"]["template"] for each in of_kind(documents, "Deployment")}
    app, proxy = by_name["comfyui"]["spec"], by_name["egress"]["spec"]
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "Service")}
    yield from address(app, services)
    yield from policies(documents)
    for pod in (app, proxy):
        yield from hardening(pod)
    yield from probes(app["containers"][0])
    for name, service in services.items():
        if service["selector"].items() - by_name[name]["metadata"]["labels"].items():
            yield f"service {name} selects no Pod"
    claims = {each["metadata"]["name"] for each in of_kind(documents, "PersistentVolumeClaim", APP)}
    claimed = {each["persistentVolumeClaim"]["claimName"] for each in app["volumes"] if "persistentVolumeClaim" in each}
    if claims != claimed:
        yield f"claims {sorted(claims)}, volumes {sorted(claimed)}"


def address(app, services):
    """The name that the app asks is the proxy's address, and nobody else resolves a name."""
    proxy = services["egress"]
    known = {name: alias["ip"] for alias in app.get("hostAliases", []) for name in alias["hostnames"]}
    environment = {each["name"]: each.get("value") for each in app["containers"][0]["env"]}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        host, _, port = (environment.get(name) or "").removeprefix("http://").partition(":")
        if known.get(host) != proxy.get("clusterIP"):
            yield f"{name} leads to {known.get(host)}, the proxy's service is at {proxy.get('clusterIP')}"
        if port != str(proxy["ports"][0]["port"]):
            yield f"{name} leads to port {port}"
    if app.get("dnsPolicy") != "None" or app["dnsConfig"]["nameservers"] != ["127.0.0.1"]:
        yield "the app has a resolver"


def policies(documents):
    for namespace in (APP, EGRESS):
        closed = [
            policy
            for policy in of_kind(documents, "NetworkPolicy", namespace)
            if policy["spec"]["podSelector"] == {} and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
            and not policy["spec"].get("ingress") and not policy["spec"].get("egress")
        ]
        if not closed:
            yield f"{namespace}: nothing is denied by default"
    to_proxy = [{
        "to": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": EGRESS}},
            "podSelector": {"matchLabels": {"app": "egress"}},
        }],
        "ports": [{"port": 8888}],
    }]
    ways = [way for policy in of_kind(documents, "NetworkPolicy", APP) for way in policy["spec"].get("egress", [])]
    if ways != to_proxy:
        yield f"{APP}: there are ways out beside the proxy"
    ways_in = [way for policy in of_kind(documents, "NetworkPolicy", EGRESS) for way in policy["spec"].get("ingress", [])]
    if len(ways_in) != 1 or ways_in[0]["from"] != [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": APP}},
        "podSelector": {"matchLabels": {"app": "comfyui"}},
    }]:
        yield f"{EGRESS}: others than the app may ask the proxy"
    for policy in of_kind(documents, "NetworkPolicy", EGRESS):
        for way in policy["spec"].get("egress", []):
            yield from at_home(way)


def at_home(way):
    """Addresses of a cluster, a home or a cloud's metadata that a rule for the world would reach."""
    blocks = [ipaddress.ip_network(peer["ipBlock"]["cidr"]) for peer in way["to"] if "ipBlock" in peer]
    excepted = [ipaddress.ip_network(each) for peer in way["to"] if "ipBlock" in peer for each in peer["ipBlock"].get("except", [])]
    for text in ("10.96.0.10", "172.17.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1", "fd00::1", "fe80::1", "::1"):
        here = ipaddress.ip_address(text)
        if any(here in block for block in blocks) and not any(here in block for block in excepted):
            yield f"{EGRESS}: the proxy may reach {here}"
    if blocks and way.get("ports") != [{"protocol": "TCP", "port": 443}]:
        yield f"{EGRESS}: the proxy may reach other ports than 443"


def hardening(pod):
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the API server is mounted"
    for container in containers_of(pod):
        context = container["securityContext"]
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']}: the root file system is writable"
        if context.get("allowPrivilegeEscalation") is not False or context["capabilities"]["drop"] != ["ALL"]:
            yield f"{container['name']}: more than the named capabilities"
        if "memory" not in container["resources"]["limits"]:
            yield f"{container['name']}: no limit on memory"
        mounted = {each["name"] for each in container["volumeMounts"]}
        if mounted != {each["name"] for each in pod["volumes"]}:
            yield f"{container['name']}: volumes and mounts differ"
        where = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        for path in ("/tmp", "/run"):
            volume = next((each for each in pod["volumes"] if each["name"] == where.get(path)), {})
            if volume.get("emptyDir", {}).get("medium") != "Memory" or not volume["emptyDir"].get("sizeLimit"):
                yield f"{container['name']}: {path} is not a tmpfs with a limit"


def probes(container):
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind, {})
        if probe.get("exec", {}).get("command") != ["/init", "--check"]:
            yield f"{kind} is not `/init --check`"
        # TAKUMI_HEALTH_TIMEOUT is 10 s, and an exec takes its time.
        if probe.get("timeoutSeconds", 1) <= 10:
            yield f"{kind} gives up before the check does"
    start = container.get("startupProbe", {})
    if start.get("periodSeconds", 10) * start.get("failureThreshold", 3) < 120:
        yield "a start has less than 120 s"


def same(one, other):
    kept = [
        {(each["kind"], each["metadata"]["name"]): each for each in load(file) if of_proxy(each)} for file in (one, other)
    ]
    for name in kept[0].keys() | kept[1].keys():
        if kept[0].get(name) != kept[1].get(name):
            print(*name)


def of_proxy(document):
    return EGRESS in (document["metadata"].get("namespace"), document["metadata"]["name"])


def play(file, image, name, secrets, without_claims=""):
    documents = load(file)
    deployment = next(each for each in of_kind(documents, "Deployment") if each["metadata"]["name"] == "comfyui")
    claims = list(of_kind(documents, "PersistentVolumeClaim", APP))
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for document in [deployment, *claims]:
        del document["metadata"]["namespace"]
        document["metadata"]["name"] = f"{name}-{document['metadata']['name']}"
    container["image"] = image
    # Without a network Podman takes no ports.
    del container["ports"]
    # No proxy is here, and the image stands in for ComfyUI's: what that image sets itself is set here.
    proxies = [each for each in container["env"] if each["name"].lower().endswith("_proxy") or each["name"] == "TAKUMI_EGRESS"]
    container["env"] = [each for each in container["env"] if each not in proxies] + [
        {"name": "TAKUMI_VOLUMES", "value": "/data:/cache"},
    ]
    for volume in pod["volumes"]:
        if "secret" in volume:
            del volume["secret"]
            volume["hostPath"] = {"path": secrets, "type": "Directory"}
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]
            claim["claimName"] = f"{name}-{claim['claimName']}"
        # Podman makes a volume of this very name, for all Pods.
        if "emptyDir" in volume:
            next(each for each in container["volumeMounts"] if each["name"] == volume["name"])["name"] = f"{name}-{volume['name']}"
            volume["name"] = f"{name}-{volume['name']}"
    yaml.safe_dump_all([deployment] if without_claims else [*claims, deployment], sys.stdout)


if __name__ == "__main__":
    {"pod-security": pod_security, "stack": stack, "same": same, "play": play}[sys.argv[1]](*sys.argv[2:])
