# Starts systemd in a lab host, as PID 1 of a PID namespace, beside the host's init. It shares the host's files, network and
# cgroups, so what it starts is the host's. It does not answer processes of other PID namespaces: enter its own.
set -eu
units=/etc/systemd/system
mkdir -p "$units"
# Nothing of what sets up a machine: devices, kernel parameters and file systems are not this host's alone.
for unit in $(cd /usr/lib/systemd/system && ls -d sysinit.target.wants/* local-fs.target.wants/* basic.target.wants/* \
	sockets.target.wants/* timers.target.wants/* multi-user.target.wants/* 2>/dev/null) tmp.mount; do
	name=${unit##*/}
	case $name in systemd-journald*) continue ;; esac
	ln -sf /dev/null "$units/$name"
done
[ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef >/etc/machine-id
mkdir -p /sys/fs/cgroup/systemd
# Its output is not the caller's, who would wait for its end.
(
	echo 0 >/sys/fs/cgroup/systemd/cgroup.procs
	exec setsid unshare --mount --propagation slave --pid --fork --kill-child sh -c '
		mount -t proc proc /proc
		mount --make-rshared / # systemd does so, except in a container
		exec env -i container=lab PATH="$PATH" /usr/lib/systemd/systemd --system --unit=basic.target --log-target=kmsg --show-status=no'
) </dev/null >/var/log/systemd.log 2>&1 &
for i in $(seq 100); do
	sleep 0.1
	pid=$(pgrep -ox systemd) || continue
	case $(nsenter -t "$pid" -p -m systemctl is-system-running 2>&1) in running | degraded) exit 0 ;; esac
done
exec >&2
nsenter -t "$pid" -p -m systemctl is-system-running || true
nsenter -t "$pid" -p -m systemctl --failed || true
cat /var/log/systemd.log
ps -ef
exit 1
