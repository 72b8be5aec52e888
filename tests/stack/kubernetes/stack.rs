//! The objects fit together, and only the proxy leads out.

use super::{Broken, RESTRICTED, ROOT, manifest, of_each};
use takumi_test::require;

#[test]
fn the_stack_is_closed_and_fits_together() {
    require!(python3, pip3);
    let faults = of_each(&["stack"], &[ROOT, RESTRICTED]);
    assert_eq!(faults, ["", ""]);
}

#[test]
fn each_fault_is_seen() {
    require!(python3, pip3);
    let policy = "  podSelector: {}\n  policyTypes: [Ingress, Egress]";
    let broken = [
        ("- ip: 10.96.0.88", "- ip: 10.96.0.89", "leads to 10.96.0.89, the proxy's service is at 10.96.0.88"),
        ("http://egress:8888", "http://egress:3128", "leads to port 3128"),
        ("http://egress:8888", "http://elsewhere:8888", "leads to None"),
        ("dnsPolicy: None", "dnsPolicy: ClusterFirst", "the app has a resolver"),
        (policy, "  podSelector: {}\n  policyTypes: [Ingress]", "takumi: nothing is denied by default"),
        (
            policy,
            "  podSelector: {}\n  egress: [{}]\n  policyTypes: [Ingress, Egress]",
            "takumi: there are ways out beside the proxy",
        ),
        (
            "kubernetes.io/metadata.name: takumi\n", "kubernetes.io/metadata.name: default\n",
            "others than the app may ask the proxy",
        ),
        ("              - 169.254.0.0/16\n", "", "the proxy may reach 169.254.169.254"),
        ("              - 10.0.0.0/8\n", "", "the proxy may reach 10.96.0.10"),
        ("              - fc00::/7\n", "", "the proxy may reach fd00::1"),
        ("          port: 443", "          port: 80", "other ports than 443"),
        ("automountServiceAccountToken: false", "automountServiceAccountToken: true", "a token of the API server"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "the root file system is writable"),
        ("            medium: Memory\n", "", "/tmp is not a tmpfs with a limit"),
        ("              memory: 16Gi\n", "              cpu: 1\n", "no limit on memory"),
        ("[/init, --check]", "[/init, --report]", "startupProbe is not `/init --check`"),
        ("timeoutSeconds: 15", "timeoutSeconds: 5", "startupProbe gives up before the check does"),
        ("failureThreshold: 30", "failureThreshold: 3", "a start has less than 120 s"),
        ("claimName: cache", "claimName: data", "claims "),
        ("  selector:\n    app: comfyui", "  selector:\n    app: comfy", "service comfyui selects no Pod"),
        ("            - name: cache\n              mountPath: /cache\n", "", "volumes and mounts differ"),
    ];
    for manifest in [ROOT, RESTRICTED] {
        let files: Vec<Broken> = broken.iter().map(|(from, to, _)| Broken::new(manifest, from, to)).collect();
        let paths: Vec<&str> = files.iter().map(Broken::path).collect();
        let faults = of_each(&["stack"], &paths);
        for ((_, _, expected), faults) in broken.iter().zip(faults) {
            assert!(faults.contains(expected), "expected '{expected}': {faults}");
        }
    }
}

#[test]
fn both_variants_have_the_same_proxy() {
    require!(python3, pip3);
    let differing = manifest(&["same", ROOT, RESTRICTED]);
    assert_eq!(differing, "");
    let other = Broken::new(ROOT, "add: [NET_ADMIN, ", "add: [NET_ADMIN, NET_RAW, ");
    assert_eq!(manifest(&["same", other.path(), RESTRICTED]), "Deployment egress\n", "control");
}
