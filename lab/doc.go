// Package lab runs several real Podman hosts on one machine, as root, in namespaces.
//
// A host is a process tree of its own: network, mount, UTS, PID, IPC and cgroup namespaces over a
// cached Debian tree that is never written to (overlay), with the Podman, netavark and kernel tools
// of that tree. Hosts are called host-a, host-b, … and their eth0 is on one underlay bridge. That
// bridge lives in a network namespace that belongs to the lab, so no link, address, route, mount or
// firewall rule of the machine is touched.
//
// A lab puts these on the machine. [Lab.Close] removes them, and so does [Sweep] if the lab's
// process was killed:
//
//   - processes: one "sleep" that holds the underlay, and one init (catatonit) a host with all that runs below it;
//   - a cgroup vxlan-lab-NAME in the cgroup2 hierarchy, by which every process of the lab is found and killed;
//   - the directory /run/vxlan-lab/NAME with the lab's record and logs. Hosts' files are on a tmpfs that only the lab's
//     own mount namespace knows.
//
// In a host, `podman run busybox` and `podman run web` (a web server on port 80) need no registry.
// Root finds both images in a store that all hosts share. A user, who has to be added first
// (useradd -m), makes them with `podman import /run/lab/images/root.tar localhost/busybox`.
//
// What stays: the bootstrapped tree in /var/cache/vxlan-lab, shared by all labs of a suite (see
// [Prepare]).
package lab
