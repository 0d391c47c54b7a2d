package lab

// imagesInHost is where a host sees the shared read-only image store.
const imagesInHost = "/run/lab/images"

// hostFiles are the files that a host has besides those of its tree: path without leading slash →
// content.
func hostFiles(name string, tree Tree) map[string]string {
	files := map[string]string{
		"etc/hostname": name + "\n",
		// Only itself: Podman copies this file into containers, and there a name of the underlay
		// would be an answer that no real network gives.
		"etc/hosts": "127.0.0.1 localhost " + name + "\n::1 localhost\n",
		// There is no name server: the lab has no way out.
		"etc/resolv.conf": "",

		"etc/containers/policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}` + "\n",
		"etc/containers/registries.conf": "unqualified-search-registries = []\n",
		"etc/containers/storage.conf":    storageConf,
		"etc/containers/containers.conf": containersConf,
	}
	if tree.Images != "" {
		files["etc/containers/storage.conf"] += storageImages
	}
	return files
}

// Reasons: no systemd runs in a host, so cgroups, logs and events go without it; and a limit on the
// number of processes needs the pids controller, which a kernel that has it on cgroup1 does not
// offer on cgroup2. The capabilities are Podman's defaults and NET_RAW (which Docker gives too),
// without which the ping of Debian's busybox does not work.
const containersConf = `[containers]
pids_limit = 0
default_capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "NET_RAW",
	"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"]
log_driver = "k8s-file"
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`

const storageConf = `[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
`

const storageImages = `[storage.options]
additionalimagestores = ["` + imagesInHost + `"]
`
