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

// debianPackages are a host's packages besides Debian's minimal system. A change makes all trees
// stale.
const debianPackages = "podman netavark aardvark-dns crun catatonit uidmap passt " +
	"iproute2 nftables iputils-ping iperf3 tcpdump ethtool curl procps busybox-static " +
	// Programs that work with the driver: Compose and firewalld, whose polkitd needs systemd and
	// logind.
	"podman-compose dbus libpam-systemd firewalld"

// debian builds trees with debootstrap.
type debian struct {
	suite string
	extra string // further packages, separated by spaces
	newer string // packages that come from experimental, separated by spaces
}

func (d debian) packageList() string { return strings.TrimSpace(debianPackages + " " + d.extra) }

func (d debian) requiredTools() []tool { return debootstrapTools }

func (d debian) describeTree(context.Context) (string, error) {
	description := "debian " + d.suite + "\npackages " + d.packageList()
	if d.newer != "" {
		description += "\nfrom experimental " + d.newer
	}
	return description, nil
}

func (d debian) rootDir(dir string) string { return filepath.Join(dir, "root") }

func (d debian) buildTree(ctx context.Context, dir string, p *progress) (string, error) {
	root := d.rootDir(dir)
	// debootstrap runs many programs, so they get a cgroup. Those of an earlier build that was
	// killed end here too.
	group, err := cgroupRoot()
	if err != nil {
		return "", err
	}
	group = group.childGroup("vxlan-lab.bootstrap" + strings.ReplaceAll(dir, "/", "-"))
	if err := errors.Join(group.killAndRemove(ctx), group.makeDir()); err != nil {
		return "", err
	}
	err = d.debootstrap(ctx, root, group, p)
	if err == nil && d.newer != "" {
		err = d.installExperimental(ctx, root, group, p)
	}
	// When ctx is cancelled, the processes must end too.
	if err := errors.Join(err, group.killAndRemove(context.WithoutCancel(ctx))); err != nil {
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
	p.startPhase("bootstrapping Debian %s: some hundred packages, once", d.suite)
	args := []string{"--variant=minbase", "--keyring=" + debianKeyring,
		"--include=" + strings.ReplaceAll(d.packageList(), " ", ","),
		// The script of sid serves all of these suites, and debootstrap of an older Debian has no
		// other for them.
		d.suite, root, debianMirror(ctx), "/usr/share/debootstrap/scripts/sid"}
	return runInGroup(ctx, group, p, exec.CommandContext(ctx, lookPath("debootstrap"), args...))
}

// experimentalScript runs in a tree. A mirror that is a snapshot has release files of the past.
const experimentalScript = `set -e
mount -t proc proc /proc
sed -n 's/^\(deb [^ ]*\) .*/\1 experimental main/p' /etc/apt/sources.list >/etc/apt/sources.list.d/experimental.list
apt-get -o Acquire::Check-Valid-Until=false update
apt-get install -y --no-install-recommends -t experimental "$@"
`

// installExperimental takes some packages of the tree from Debian experimental, which has no base
// system to bootstrap.
func (d debian) installExperimental(ctx context.Context, root string, group cgroup, p *progress) error {
	p.startPhase("installing %s from Debian experimental", d.newer)
	args := append([]string{root, "sh", "-c", experimentalScript, "sh"}, strings.Fields(d.newer)...)
	return runInGroup(ctx, group, p, exec.CommandContext(ctx, lookPath("chroot"), args...))
}

// runInGroup runs a command that was made with ctx in the cgroup, and in a mount namespace of its
// own: what it mounts in the tree, as /proc and /sys, ends with it.
func runInGroup(ctx context.Context, group cgroup, p *progress, cmd *exec.Cmd) error {
	into, err := group.openDir()
	if err != nil {
		return err
	}
	defer into.Close()
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS,
		UseCgroupFD:  true,
		CgroupFD:     int(into.Fd()),
	}
	cmd.Cancel = group.killProcesses
	cmd.WaitDelay = 5 * time.Second
	return followCommand(cmd, p)
}

// debianMirror returns the mirror of this machine's own Debian packages. It returns "", for
// debootstrap's default, where there is none: the mirror of an Ubuntu machine has no Debian.
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

// packageSteps are debootstrap's steps for each package, without "Validating", which alternates
// with "Retrieving".
var packageSteps = []string{"Retrieving", "Extracting", "Unpacking", "Configuring"}

// followCommand runs debootstrap or apt-get and condenses its thousand lines into a few.
func followCommand(cmd *exec.Cmd, p *progress) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		// "I: Retrieving podman 5.4.2", "I: Unpacking podman..."
		fields := strings.Fields(lines.Text())
		if len(fields) > 2 && fields[0] == "I:" && slices.Contains(packageSteps, fields[1]) {
			p.countItem(strings.ToLower(fields[1]), strings.TrimRight(fields[2], "."))
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run %s: %w: %s", cmd.Path, err, lastLines(said.String(), 8))
	}
	return nil
}

// progress reports what goes on, with a line for each phase and every few seconds.
type progress struct {
	out    io.Writer
	start  time.Time
	last   time.Time
	counts map[string]int
}

// countEvery is how often counts are shown: rarely enough for a log, often enough to show that it
// goes on.
const countEvery = 3 * time.Second

func (p *progress) startPhase(format string, args ...any) {
	fmt.Fprintf(p.out, "[%3.0fs] %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// countItem counts one more item of a kind, such as a package retrieved.
func (p *progress) countItem(kind, what string) {
	if p.counts == nil {
		p.counts = map[string]int{}
	}
	p.counts[kind]++
	if time.Since(p.last) >= countEvery {
		p.last = time.Now()
		p.startPhase("%s package %d: %s", kind, p.counts[kind], what)
	}
}
