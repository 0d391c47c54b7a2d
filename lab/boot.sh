# Turns the process that runs it into the init of a lab host. Embedded in the lab package (boot.go), never run by hand.
# The process was born in its own PID, network, UTS, IPC, mount and cgroup namespaces. From the environment:
#   LAB_ROOT    tree that becomes /, never written to      LAB_DIR   this host's files: upper, work, root, containers, home
#   LAB_IMAGES  read-only image store, may be empty        LAB_HOST  host name
# "ready" on descriptor 3 says that the host is up; end of file without it says that it failed (see the host's log).
set -eu
umask 022
cd "$LAB_DIR"
mkdir -p upper work root containers home
mount -t overlay -o "lowerdir=$LAB_ROOT,upperdir=$LAB_DIR/upper,workdir=$LAB_DIR/work" "$LAB_HOST" root
cd root
mkdir -p proc sys run tmp dev home var/lib/containers

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp

# A /dev of our own rather than the machine's: Podman keeps its lock table in /dev/shm, and hosts must not share it.
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm dev/mqueue dev/net
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t mqueue mqueue dev/mqueue
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
for node in null zero full random urandom tty kmsg; do
	: >"dev/$node"
	mount --bind "/dev/$node" "dev/$node"
done
# These two are for everybody, as udev has them, for rootless Podman.
mknod -m 666 dev/fuse c 10 229
mknod -m 666 dev/net/tun c 10 200

# Processes may not sit in a cgroup whose children have controllers. So init and all commands live in the leaf "init",
# which leaves the host's root cgroup free for Podman; without this crun retries for two seconds at each start.
mount -t cgroup2 cgroup2 sys/fs/cgroup
mkdir -p sys/fs/cgroup/init
echo 0 >sys/fs/cgroup/init/cgroup.procs
for controller in $(cat sys/fs/cgroup/cgroup.controllers); do
	echo "+$controller" >sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
done

# Podman's overlay driver needs a file system that is not itself an overlay: root's store, and those of users.
mount --bind "$LAB_DIR/containers" var/lib/containers
mount --bind "$LAB_DIR/home" home
if [ -n "$LAB_IMAGES" ]; then
	mkdir -p run/lab/images
	mount --bind -o ro "$LAB_IMAGES" run/lab/images
fi

# pivot_root and not chroot: Podman changes mount propagation, which fails on a root that is not a mount.
mkdir run/old
pivot_root . run/old
cd /
umount -l /run/old
rmdir /run/old
# As systemd has it on a real host. It reaches no further than the host, whose mount namespace was made private.
mount --make-rshared /

echo "$LAB_HOST" >/proc/sys/kernel/hostname
ip link set lo up
# A connection whose process was killed is given up after a second. By default its unacknowledged data is sent again for
# more than a minute, and holds the network namespace, when the lab has ended long since.
echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries
mkdir -p /run/lock

echo ready >&3
exec 3>&-
# Fedora and Debian before 13 keep catatonit out of the path.
exec env -i PATH="$PATH:/usr/libexec/podman:/usr/libexec/catatonit:/usr/lib/podman" catatonit -P
