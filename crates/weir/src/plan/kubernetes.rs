//! Kubernetes: a tap on every node, and sensors behind a service.
//!
//! Source: the Kubernetes API reference (apps/v1, v1). A tap needs the node's network (`hostNetwork`) and CAP_NET_RAW; to
//! go into pods, the node's processes (`hostPID`) and CAP_SYS_ADMIN, CAP_SYS_PTRACE for setns(2). The service has
//! `sessionAffinity: ClientIP`, so that all that one tap sees is at one sensor: both directions of a flow stay together though
//! the tunnel's outer ports differ.

use std::fmt::Write;

use super::value::{DnsLabel, Image, Interface, Label};
use super::{Call, Plan, Probe, Step};

/// What carries the copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// UDP 4789.
    Vxlan,
    /// UDP 6081, with the numbers by which loss is counted.
    Geneve,
}

impl Carrier {
    const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Vxlan => 4789,
            Self::Geneve => 6081,
        }
    }
}

/// What `weir plan kubernetes` is told.
#[derive(Clone, Debug)]
pub struct Fabric {
    /// The namespace, which is made.
    pub namespace: DnsLabel,
    /// The image of weir.
    pub image: Image,
    /// Interfaces of the nodes; none: the containers.
    pub interfaces: Vec<Interface>,
    /// What carries the copies.
    pub carrier: Carrier,
    /// The VNI.
    pub vni: u32,
    /// How many sensors; 0: only taps, which send to `collector`.
    pub sensors: u16,
    /// Workers of each sensor.
    pub workers: u16,
    /// Where taps send instead of to the sensors' service.
    pub collector: Option<std::net::IpAddr>,
}

/// The manifests; applied by kubectl.
pub fn plan(what: &Fabric, label: &Label) -> Plan {
    let name = label.name();
    let text = manifests(what, &name);
    let mark = format!("weir.dev/plan: \"{:016x}\"", super::digest(&text));
    let text = text.replace("WEIR-MARK", &mark);
    let namespace = &what.namespace;
    let about = vec![
        "To be given to: kubectl apply -f -".to_owned(),
        "The namespace must allow privileged pods (pod security), because taps read the nodes' interfaces."
            .to_owned(),
    ];
    let step = Step::ours(
        format!("namespace {namespace} with {name}"),
        Probe::Prints(
            Call::new("kubectl", &format!("get daemonset {name}-tap -n {namespace} -o yaml")),
            mark,
        ),
        Call::new("kubectl", "apply -f -").reading(text.clone()),
        Call::new("kubectl", "delete --ignore-not-found -f -").reading(text.clone()),
    );
    Plan {
        name,
        about,
        steps: vec![step],
        interfaces: Vec::new(),
        documents: vec![("manifests".into(), text)],
    }
}

/// The arguments of `weir tap` on the nodes.
pub fn tap_arguments(what: &Fabric, name: &str) -> Vec<String> {
    let mut arguments = vec!["tap".to_owned()];
    for interface in &what.interfaces {
        arguments.extend(["-i".to_owned(), interface.to_string()]);
    }
    if what.interfaces.is_empty() {
        arguments.push("--containers".to_owned());
    }
    let host = match what.collector {
        Some(address) if address.is_ipv6() => format!("[{address}]"),
        Some(address) => address.to_string(),
        None => format!("{name}-sensor.{}.svc", what.namespace),
    };
    let carrier = what.carrier;
    arguments.extend([
        "--to".to_owned(),
        format!("{}://{host}:{}?vni={}", carrier.name(), carrier.port(), what.vni),
    ]);
    arguments
}

/// The arguments of `weir sense` in the sensors.
pub fn sensor_arguments(what: &Fabric) -> Vec<String> {
    let carrier = what.carrier;
    let tunnel = [format!("--{}", carrier.name()), format!("0.0.0.0:{}", carrier.port())];
    let rest = ["-w".to_owned(), what.workers.to_string(), "-l".to_owned(), "/var/log/weir".to_owned()];
    ["sense".to_owned()].into_iter().chain(tunnel).chain(rest).collect()
}

fn manifests(what: &Fabric, name: &str) -> String {
    let namespace = &what.namespace;
    let mut text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: privileged\n---\n"
    );
    text.push_str(&tap(what, name));
    if what.sensors > 0 {
        let _ = write!(text, "---\n{}---\n{}", sensor(what, name), service(what, name));
    }
    text
}

fn flow(arguments: &[String]) -> String {
    let quoted: Vec<_> = arguments.iter().map(|argument| format!("\"{argument}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn tap(what: &Fabric, name: &str) -> String {
    let (namespace, image) = (&what.namespace, &what.image);
    let containers = what.interfaces.is_empty();
    let capabilities =
        if containers { "[NET_RAW, NET_ADMIN, SYS_ADMIN, SYS_PTRACE]" } else { "[NET_RAW, NET_ADMIN]" };
    let arguments = flow(&tap_arguments(what, name));
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: {name}-tap\n  namespace: {namespace}\n  annotations:\n    \
         WEIR-MARK\n  labels: {{app.kubernetes.io/name: weir, app.kubernetes.io/component: tap}}\nspec:\n  selector:\n    \
         matchLabels: {{app: {name}-tap}}\n  template:\n    metadata:\n      labels: {{app: {name}-tap}}\n    spec:\n      \
         hostNetwork: true\n      hostPID: {containers}\n      dnsPolicy: ClusterFirstWithHostNet\n      \
         automountServiceAccountToken: false\n      tolerations:\n        - operator: Exists\n      containers:\n        \
         - name: tap\n          image: {image}\n          args: {arguments}\n          securityContext:\n            \
         runAsUser: 0\n            allowPrivilegeEscalation: false\n            readOnlyRootFilesystem: true\n            \
         capabilities: {{drop: [ALL], add: {capabilities}}}\n          resources:\n            \
         requests: {{cpu: 50m, memory: 64Mi}}\n            limits: {{memory: 256Mi}}\n"
    )
}

fn sensor(what: &Fabric, name: &str) -> String {
    let Fabric { namespace, image, sensors, carrier, .. } = what;
    let arguments = flow(&sensor_arguments(what));
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}-sensor\n  namespace: {namespace}\n  \
         labels: {{app.kubernetes.io/name: weir, app.kubernetes.io/component: sensor}}\nspec:\n  replicas: {sensors}\n  selector:\n    \
         matchLabels: {{app: {name}-sensor}}\n  template:\n    metadata:\n      labels: {{app: {name}-sensor}}\n    spec:\n      \
         automountServiceAccountToken: false\n      terminationGracePeriodSeconds: 60\n      securityContext: {{fsGroup: 65532}}\n      \
         containers:\n        - name: sensor\n          \
         image: {image}\n          args: {arguments}\n          ports:\n            \
         - {{name: {0}, containerPort: {1}, protocol: UDP}}\n          securityContext:\n            runAsNonRoot: true\n            \
         runAsUser: 65532\n            \
         allowPrivilegeEscalation: false\n            readOnlyRootFilesystem: true\n            capabilities: {{drop: [ALL]}}\n          \
         volumeMounts:\n            - {{name: logs, mountPath: /var/log/weir}}\n      volumes:\n        - {{name: logs, emptyDir: {{}}}}\n",
        carrier.name(),
        carrier.port(),
    )
}

fn service(what: &Fabric, name: &str) -> String {
    let Fabric { namespace, carrier, .. } = what;
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}-sensor\n  namespace: {namespace}\nspec:\n  \
         selector: {{app: {name}-sensor}}\n  sessionAffinity: ClientIP\n  ports:\n    \
         - {{name: {0}, port: {1}, targetPort: {1}, protocol: UDP}}\n",
        carrier.name(),
        carrier.port(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(interfaces: &[&str], sensors: u16) -> Fabric {
        Fabric {
            namespace: "weir".parse().unwrap(),
            image: "ghcr.io/weir/weir:0.1".parse().unwrap(),
            interfaces: interfaces.iter().map(|name| name.parse().unwrap()).collect(),
            carrier: Carrier::Vxlan,
            vni: 7,
            sensors,
            workers: 2,
            collector: None,
        }
    }

    fn documents(fabric: &Fabric) -> Vec<serde_json::Value> {
        let text = plan(fabric, &Label::of("k8s")).text();
        serde_yaml_ng::Deserializer::from_str(&text)
            .map(|document| {
                serde::Deserialize::deserialize(document).unwrap_or_else(|e| panic!("{e}\n{text}"))
            })
            .collect()
    }

    #[test]
    fn the_manifests_are_yaml_and_fit_each_other() {
        let all = documents(&of(&["eth0"], 3));
        let kinds: Vec<_> = all.iter().map(|document| document["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Namespace", "DaemonSet", "Deployment", "Service"]);
        let (tap, sensor, service) = (&all[1], &all[2], &all[3]);
        for workload in [tap, sensor] {
            assert_eq!(
                workload["spec"]["selector"]["matchLabels"],
                workload["spec"]["template"]["metadata"]["labels"]
            );
        }
        assert_eq!(service["spec"]["selector"], sensor["spec"]["template"]["metadata"]["labels"]);
        assert_eq!(sensor["spec"]["replicas"], 3);
        let arguments = &tap["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(arguments[4], "vxlan://weir-k8s-sensor.weir.svc:4789?vni=7");
        assert_eq!(service["metadata"]["name"], "weir-k8s-sensor");
        let port = &sensor["spec"]["template"]["spec"]["containers"][0]["ports"][0];
        assert_eq!(port["containerPort"], service["spec"]["ports"][0]["targetPort"]);
        assert!(tap["metadata"]["annotations"]["weir.dev/plan"].is_string());
    }

    #[test]
    fn only_a_tap_that_goes_into_pods_may_enter_other_processes() {
        let capabilities = |fabric: &Fabric| {
            let tap = documents(fabric).swap_remove(1);
            let spec = &tap["spec"]["template"]["spec"];
            (
                spec["hostPID"].clone(),
                spec["containers"][0]["securityContext"]["capabilities"]["add"].to_string(),
            )
        };
        let (pid, add) = capabilities(&of(&["eth0"], 0));
        assert!(pid == false && !add.contains("SYS_"), "{add}");
        let (pid, add) = capabilities(&of(&[], 0));
        assert!(pid == true && add.contains("SYS_PTRACE"), "{add}");
        assert_eq!(documents(&of(&[], 0)).len(), 2);
    }
}
