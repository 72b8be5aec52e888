//! Which TCP ports COMMAND may connect to. Judged here and not in `confine`, which holds it to them: a finding names
//! them.

use crate::machine::sandbox::SandboxSupport;
use crate::settings::Settings;

/// The proxy's, the server's own and those of TAKUMI_CONNECT, each once. `None`: every port, because no proxy is set or
/// the kernel cannot hold to any.
pub fn allowed_ports(settings: &Settings, kernel: &SandboxSupport) -> Option<Vec<u16>> {
    let mut ports = kernel.proxies.clone().filter(|_| kernel.can_restrict_ports())?;
    ports.extend(settings.health_url.as_ref().map(|url| url.port));
    ports.extend(&settings.connect);
    ports.sort_unstable();
    ports.dedup();
    Some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn allowed(variables: &[&CStr]) -> Option<Vec<u16>> {
        let settings: Vec<&CStr> =
            variables.iter().copied().filter(|variable| variable.to_bytes().starts_with(b"TAKUMI")).collect();
        let settings = Settings::from_environment(&settings).unwrap();
        allowed_ports(&settings, &SandboxSupport { landlock: Ok(4), ..SandboxSupport::observe(&settings, variables)? })
    }

    #[test]
    fn with_a_proxy_the_ports_are_its_own_the_servers_and_those_that_are_named() {
        const AUTO: &CStr = c"TAKUMI_CONFINE=auto";
        let url = c"TAKUMI_HEALTH_URL=http://[::1]:8188/prompt";
        assert_eq!(allowed(&[AUTO, url, c"TAKUMI_CONNECT=11434"]), None, "no proxy: every port");
        assert_eq!(allowed(&[c"https_proxy=http://p:8888"]), None, "off");
        let proxied = [AUTO, url, c"https_proxy=http://p:8888", c"ALL_PROXY=http://p:9", c"TAKUMI_CONNECT=11434,9"];
        assert_eq!(allowed(&proxied), Some(vec![9, 8188, 8888, 11434]));
        assert_eq!(allowed(&[AUTO, c"http_proxy=socks5://p:1080"]), Some(vec![]), "what cannot be read opens nothing");
        assert_eq!(allowed(&[AUTO, c"http_proxy=http://p", c"TAKUMI_HEALTH_URL=http://h/x:7"]), Some(vec![80]));
    }

    #[test]
    fn a_kernel_that_cannot_hold_to_ports_holds_to_none() {
        let kernel = |level| SandboxSupport { landlock: Ok(level), filters: Ok(()), proxies: Some(vec![1]) };
        assert_eq!([3, 4].map(|level| allowed_ports(&Settings::default(), &kernel(level))), [None, Some(vec![1])]);
    }
}
