package lab

import (
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

//go:embed boot.sh
var bootScript string

// Host is one Podman host of a lab. Its methods may be called from several goroutines; a
// [Host.Reboot] makes commands that run in it fail.
type Host struct {
	lab    *Lab
	name   string
	number int

	mu   sync.Mutex
	init process
	leaf *os.File // cgroup in which its commands are started; nil while the host is down
}

// Name is host-a, host-b, …, or "outside". It is also the host name, and the name of its port on
// the underlay.
func (h *Host) Name() string { return h.name }

// Addr4 is the address of eth0 on the underlay, 198.18.0.11 for host-a (RFC 2544 test addresses),
// with prefix length 24.
func (h *Host) Addr4() netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, 0, byte(h.number)})
}

// Addr6 is the IPv6 address of eth0 on the underlay, fd00:198:18::11 for host-a, with prefix length
// 64. The last group has the digits of the last byte of Addr4.
func (h *Host) Addr6() netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd00:198:18::%d", h.number))
}

// PID is the machine's process id of the host's init. It changes with a reboot.
func (h *Host) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.init.PID
}

// Netns is the path of the host's network namespace, for tools of the machine (nsenter --net=PATH).
func (h *Host) Netns() string { return fmt.Sprintf("/proc/%d/ns/net", h.PID()) }

// Path is where the machine finds a file of the host. Absolute symbolic links on the way lead to
// the machine's files instead: /var/run is one.
func (h *Host) Path(inHost string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", h.PID()), inHost)
}

// WriteFile writes a file of the host, making directories on the way. Executable modes are kept
// whatever the umask.
func (h *Host) WriteFile(inHost string, data []byte, mode os.FileMode) error {
	return writeFile(h.Path(inHost), data, mode)
}

// hostDir is this host's directory on the lab's tmpfs, as the holder's mount namespace sees it.
func (h *Host) hostDir() string { return filepath.Join(dataDir(h.lab.rec.Config.Name), h.name) }

func (h *Host) hostCgroup() cgroup { return h.lab.group.childGroup(h.name) }

// writeHostFiles writes the files that differ from host to host. They go to the overlay's upper
// directory before the first boot, and so survive a reboot.
func (h *Host) writeHostFiles() error {
	config := h.lab.rec.Config
	// The machine reaches the holder's tmpfs through the holder's root.
	upper := filepath.Join(fmt.Sprintf("/proc/%d/root", h.lab.underlay.holder.PID), h.hostDir(), "upper")
	for path, content := range hostFiles(h.name, config.Tree) {
		if err := writeFile(filepath.Join(upper, path), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write files of %s: %w", h.name, err)
		}
	}
	// The tree's /etc/containers must not show through, least of all its networks if the tree is
	// the machine itself.
	if err := syscall.Setxattr(filepath.Join(upper, "etc/containers"), "trusted.overlay.opaque",
		[]byte("y"), 0); err != nil {
		return fmt.Errorf("hide /etc/containers of the tree from %s: %w", h.name, err)
	}
	binaries := map[string]string{}
	for _, path := range config.Binaries {
		binaries[filepath.Join("usr/local/bin", filepath.Base(path))] = path
	}
	if config.Plugin != "" && h.name != outsideName {
		binaries["usr/local/libexec/netavark/vxlan"] = config.Plugin
	}
	for to, from := range binaries {
		data, err := os.ReadFile(from)
		if err == nil {
			err = writeFile(filepath.Join(upper, to), data, 0o755)
		}
		if err != nil {
			return fmt.Errorf("install %s in %s: %w", from, h.name, err)
		}
	}
	return nil
}

// bootInit starts the host's init and connects it to the underlay.
func (h *Host) bootInit(ctx context.Context) error {
	config := h.lab.rec.Config
	holder := h.lab.underlay.holder.PID
	init, err := startDetached(ctx, spawnSpec{
		// The mount namespace begins as a copy of the holder's, in which the host's files are, and
		// the cgroup namespace must be made by a process that is in the host's cgroup already. Each
		// step replaces the process, none forks: the pid stays the one that is 1 in the new PID
		// namespace.
		argv: []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", holder), "--",
			"unshare", "--mount", "--cgroup", "--propagation", "private", "sh", "-c", bootScript, "boot.sh"},
		env: []string{"LAB_ROOT=" + config.Tree.Root, "LAB_IMAGES=" + config.Tree.Images,
			"LAB_DIR=" + h.hostDir(), "LAB_HOST=" + h.name},
		cgroup: h.hostCgroup(),
		flags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		log:    filepath.Join(labDir(config.Name), h.name+".log"),
		connect: func(init process) error {
			return h.lab.underlay.connectHost(ctx, h.name, init, config.MTU,
				netip.PrefixFrom(h.Addr4(), 24), netip.PrefixFrom(h.Addr6(), 64))
		},
	})
	if err != nil {
		return fmt.Errorf("boot %s: %w", h.name, err)
	}
	return h.attachInit(init)
}

// attachInit makes commands run in the host with that init.
func (h *Host) attachInit(init process) error {
	leaf, err := h.hostCgroup().childGroup("init").openDir()
	if err != nil {
		return fmt.Errorf("attach to %s: %w", h.name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.init, h.leaf = init, leaf
	return nil
}

// detachInit closes the descriptor that attachInit opened.
func (h *Host) detachInit() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaf == nil {
		return nil
	}
	leaf := h.leaf
	h.leaf = nil
	return leaf.Close()
}

// Reboot kills all that runs in the host, as a power failure does, and boots it again: new
// namespaces, an empty /run and /tmp, no link but a new eth0; /etc and /var/lib, with Podman's
// networks, containers and images, are as they were.
func (h *Host) Reboot(ctx context.Context) error {
	err := errors.Join(h.detachInit(), h.hostCgroup().killAndRemove(ctx), h.lab.underlay.waitDisconnected(ctx, h.name))
	if err != nil {
		return fmt.Errorf("reboot %s: %w", h.name, err)
	}
	if err := h.bootInit(ctx); err != nil {
		return err
	}
	return h.lab.saveRecord()
}

// writeFile is os.WriteFile that makes directories on the way and sets the mode whatever the umask.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// Write a new file rather than into an old one: a running program's file cannot be written to.
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return err
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
