package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// debianPackages is what a host has on top of Debian's smallest system. A change makes all trees stale.
const debianPackages = "podman netavark aardvark-dns crun catatonit uidmap passt " +
	"iproute2 nftables iputils-ping iperf3 tcpdump ethtool curl procps busybox-static " +
	// What works with the driver, for its tests: Compose and firewalld. systemd and logind are what firewalld's polkitd wants.
	"podman-compose dbus libpam-systemd firewalld"

// debian builds trees with debootstrap.
type debian struct {
	suite string
	extra string // further packages, separated by spaces
}

func (d debian) packages() string { return strings.TrimSpace(debianPackages + " " + d.extra) }

func (d debian) tools() []tool { return debootstrapTools }

func (d debian) describe(context.Context) (string, error) {
	return "debian " + d.suite + "\npackages " + d.packages(), nil
}

func (d debian) root(dir string) string { return filepath.Join(dir, "root") }

func (d debian) build(ctx context.Context, dir string, p *progress) (string, error) {
	root := d.root(dir)
	// A cgroup of its own, as debootstrap runs many programs. Those of a build whose maker was killed are ended here too.
	group, err := cgroupRoot()
	if err != nil {
		return "", err
	}
	group = group.child("vxlan-lab.bootstrap" + strings.ReplaceAll(dir, "/", "-"))
	if err := errors.Join(group.remove(ctx), group.create()); err != nil {
		return "", err
	}
	err = d.debootstrap(ctx, root, group, p)
	// A cancelled ctx is one more reason to end what still runs.
	if err := errors.Join(err, group.remove(context.WithoutCancel(ctx))); err != nil {
		return "", err
	}
	for _, used := range []string{"var/cache/apt", "var/lib/apt/lists", "debootstrap"} {
		if err := os.RemoveAll(filepath.Join(root, used)); err != nil {
			return "", err
		}
	}
	return root, nil
}

// debootstrap fills root, with all its processes in the cgroup.
func (d debian) debootstrap(ctx context.Context, root string, group cgroup, p *progress) error {
	into, err := group.open()
	if err != nil {
		return err
	}
	defer into.Close()
	p.phase("bootstrapping Debian %s: some hundred packages, once", d.suite)
	args := []string{"--variant=minbase", "--keyring=" + debianKeyring,
		"--include=" + strings.ReplaceAll(d.packages(), " ", ","),
		// The script of sid serves all of these suites, and debootstrap of an older Debian has no other for them.
		d.suite, root, debianMirror(ctx), "/usr/share/debootstrap/scripts/sid"}
	cmd := exec.CommandContext(ctx, lookPath("debootstrap"), args...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// debootstrap mounts /proc and /sys in the tree. In a namespace of its own they go when it does, however it ends.
		Unshareflags: syscall.CLONE_NEWNS,
		UseCgroupFD:  true,
		CgroupFD:     int(into.Fd()),
	}
	cmd.Cancel = group.kill
	cmd.WaitDelay = 5 * time.Second
	return followDebootstrap(cmd, p)
}

// debianMirror is the mirror from which this machine gets Debian packages itself; empty, which is debootstrap's own
// choice, where it gets none. What an Ubuntu machine uses is no mirror of Debian.
func debianMirror(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)").Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if site, ok := strings.CutPrefix(strings.TrimSpace(line), "Debian|Debian|"); ok {
			return site
		}
	}
	return ""
}

// packageSteps are what debootstrap does with each package; "Validating" is left out as it takes turns with "Retrieving".
var packageSteps = []string{"Retrieving", "Extracting", "Unpacking", "Configuring"}

// followDebootstrap runs debootstrap and turns its thousand lines into a few.
func followDebootstrap(cmd *exec.Cmd, p *progress) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		return fmt.Errorf("start debootstrap: %w", err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		// "I: Retrieving podman 5.4.2", "I: Unpacking podman..."
		fields := strings.Fields(lines.Text())
		if len(fields) > 2 && fields[0] == "I:" && slices.Contains(packageSteps, fields[1]) {
			p.count(strings.ToLower(fields[1]), strings.TrimRight(fields[2], "."))
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run debootstrap: %w: %s", err, lastLines(said.String(), 8))
	}
	return nil
}

// progress tells a waiting person what goes on, a line for each phase and every few seconds.
type progress struct {
	out    io.Writer
	start  time.Time
	last   time.Time
	counts map[string]int
}

// countEvery is how often counts are shown: seldom enough for a log file, often enough not to look stuck.
const countEvery = 3 * time.Second

func (p *progress) phase(format string, args ...any) {
	fmt.Fprintf(p.out, "[%3.0fs] %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// count notes one more thing done of a kind, such as a package retrieved.
func (p *progress) count(kind, what string) {
	if p.counts == nil {
		p.counts = map[string]int{}
	}
	p.counts[kind]++
	if time.Since(p.last) >= countEvery {
		p.last = time.Now()
		p.phase("%s package %d: %s", kind, p.counts[kind], what)
	}
}
