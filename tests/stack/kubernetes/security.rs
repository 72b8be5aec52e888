//! Pod Security: what the namespaces' labels demand is kept, and the checker sees each control that is broken.

use super::{Broken, RESTRICTED, ROOT, of_each};
use takumi_test::require;

/// The violations of one Deployment in each file.
fn violations(deployment: &str, level: &str, files: &[&str]) -> Vec<Vec<String>> {
    let prefix = format!("{deployment}: ");
    let each = of_each(&["pod-security", level], files);
    let of_deployment =
        |said: String| said.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect();
    each.into_iter().map(of_deployment).collect()
}

#[test]
fn the_restricted_variant_satisfies_restricted() {
    require!(python3, pip3);
    let violations = violations("comfyui", "restricted", &[RESTRICTED]);
    assert_eq!(violations, [Vec::<String>::new()]);
    let text = std::fs::read_to_string(RESTRICTED).unwrap();
    assert!(text.contains("  name: takumi\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n"));
}

#[test]
fn one_capability_keeps_the_root_variant_from_baseline() {
    require!(python3, pip3);
    let violations = violations("comfyui", "baseline", &[ROOT]);
    assert_eq!(violations, [["capabilities: comfyui adds DAC_READ_SEARCH"]]);
}

#[test]
fn two_capabilities_keep_the_proxy_from_baseline() {
    require!(python3, pip3);
    let violations = violations("egress", "baseline", &[ROOT, RESTRICTED]);
    let two = ["capabilities: egress adds NET_ADMIN", "capabilities: egress adds DAC_READ_SEARCH"];
    assert_eq!(violations, [two, two]);
}

#[test]
fn each_broken_control_is_seen() {
    require!(python3, pip3);
    let pod = "automountServiceAccountToken: false\n";
    let of_pod = |line: &str| format!("{pod}      {line}\n");
    let context = "runAsNonRoot: true\n";
    let of_context = |line: &str| format!("{context}        {line}\n");
    let container = "privileged: false\n";
    let of_container = |line: &str| format!("{container}            {line}\n");
    let labels = "    metadata:\n      labels:\n        app: comfyui\n";
    let host = "            exec:\n              command: *check\n            periodSeconds: 30";
    let broken = [
        (pod, of_pod("hostNetwork: true"), "host namespaces: hostNetwork"),
        (pod, of_pod("hostPID: true"), "host namespaces: hostPID"),
        (pod, of_pod("hostIPC: true"), "host namespaces: hostIPC"),
        (container, "privileged: true\n".into(), "privileged containers: comfyui"),
        ("drop: [ALL]", "drop: [NET_RAW]".into(), "capabilities: comfyui does not drop ALL"),
        ("drop: [ALL]", "drop: [ALL]\n              add: [CHOWN]".into(), "capabilities: comfyui adds CHOWN"),
        ("drop: [ALL]", "drop: [ALL]\n              add: [SYS_ADMIN]".into(), "capabilities: comfyui adds SYS_ADMIN"),
        ("persistentVolumeClaim:\n            claimName: data", "hostPath:\n            path: /".into(), "hostPath volumes: data"),
        (
            "persistentVolumeClaim:\n            claimName: data",
            "nfs:\n            server: there\n            path: /".into(),
            "volume types: data is a nfs",
        ),
        ("containerPort: 8188", "containerPort: 8188\n              hostPort: 8188".into(), "host ports: comfyui"),
        (
            host,
            "            httpGet:\n              host: 169.254.169.254\n              port: 80\n            periodSeconds: 30".into(),
            "host probes and lifecycle hooks: comfyui",
        ),
        (context, of_context("appArmorProfile: {type: Unconfined}"), "AppArmor: pod"),
        (
            labels,
            format!("{labels}      annotations:\n        container.apparmor.security.beta.kubernetes.io/comfyui: unconfined\n"),
            "AppArmor: container.apparmor.security.beta.kubernetes.io/comfyui: unconfined",
        ),
        (context, of_context("seLinuxOptions: {type: spc_t}"), "SELinux: pod"),
        (container, of_container("procMount: Unmasked"), "/proc mount type: comfyui"),
        (context, of_context("sysctls: [{name: kernel.msgmax, value: \"1\"}]"), "sysctls: kernel.msgmax"),
        ("type: RuntimeDefault", "type: Unconfined".into(), "seccomp: pod"),
        ("          type: RuntimeDefault", "          {}".into(), "seccomp: comfyui names no profile"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true".into(), "privilege escalation: comfyui"),
        ("            allowPrivilegeEscalation: false\n", String::new(), "privilege escalation: comfyui"),
        (context, "runAsNonRoot: false\n".into(), "running as non-root: comfyui"),
        ("        runAsNonRoot: true\n", String::new(), "running as non-root: comfyui"),
        (container, of_container("runAsNonRoot: false"), "running as non-root: comfyui"),
        ("runAsUser: 1000", "runAsUser: 0".into(), "running as non-root user: pod"),
        (container, of_container("runAsUser: 0"), "running as non-root user: comfyui"),
    ];
    let files: Vec<Broken> = broken.iter().map(|(from, to, _)| Broken::new(RESTRICTED, from, to)).collect();
    let paths: Vec<&str> = files.iter().map(Broken::path).collect();
    let violations = violations("comfyui", "restricted", &paths);
    for ((_, _, expected), violations) in broken.iter().zip(violations) {
        assert!(violations.iter().any(|violation| violation == expected), "expected '{expected}': {violations:?}");
    }
}
