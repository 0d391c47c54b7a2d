package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Suites that [Prepare] knows.
const (
	SuiteTrixie = "trixie" // Debian 13: Podman 5.4, netavark 1.14. The default.
	SuiteForky  = "forky"  // Debian testing: Podman 5.8 or later, netavark 1.17 or later
	SuiteHost   = "host"   // the machine's own root and Podman, 4.5 or later
	// Debian unstable with what experimental has of Podman: Podman 6, netavark 2.
	SuiteExperimental = "experimental"
	SuiteDocker       = "docker" // trixie with Docker beside Podman, to compare with: 250 MB more
	SuiteDnf          = "dnf"    // trixie with dnf and rpm, to install rpms: 50 MB more
)

// Tree is what the hosts of a lab share, read only.
type Tree struct {
	Suite  string `json:"suite"`
	Root   string `json:"root"`   // directory that hosts see as /
	Images string `json:"images"` // image store with localhost/busybox and localhost/web
}

// treeFormat is part of a tree's stamp: raise it when trees made before must be made anew.
const treeFormat = 2

// Prepare makes the tree of a suite, or finds it made before: in /var/cache/vxlan-lab/SUITE, or
// under the directory named by the environment variable VXLAN_LAB_CACHE. An empty suite is the one
// of VXLAN_LAB_SUITE, or else trixie.
//
// The first time takes about a minute, some hundred packages from a Debian mirror, and 370 MB on
// disk; what the machine lacks for it is installed. Progress goes to log. An interrupted or
// concurrent Prepare does no harm. If the machine lacks what cannot be installed, the error is a
// [*MissingError].
func Prepare(ctx context.Context, suite string, log io.Writer) (Tree, error) {
	suite = cmp.Or(suite, os.Getenv("VXLAN_LAB_SUITE"), SuiteTrixie)
	var build builder
	switch suite {
	case SuiteTrixie, SuiteForky:
		build = debian{suite: suite}
	case SuiteExperimental:
		build = debian{suite: "sid", newer: "podman netavark aardvark-dns"}
	case SuiteDocker:
		build = debian{suite: SuiteTrixie, extra: "docker.io docker-cli"}
	case SuiteDnf:
		build = debian{suite: SuiteTrixie, extra: "dnf rpm createrepo-c"}
	case SuiteHost:
		build = ownRoot{}
	default:
		return Tree{}, fmt.Errorf("prepare tree: suite %q is not known: want %s, %s, %s, %s, %s or %s",
			suite, SuiteTrixie, SuiteForky, SuiteExperimental, SuiteHost, SuiteDocker, SuiteDnf)
	}
	if err := errors.Join(checkMachine(), ctx.Err()); err != nil {
		return Tree{}, err
	}
	cache := cmp.Or(os.Getenv("VXLAN_LAB_CACHE"), "/var/cache/vxlan-lab")
	tree, err := prepareTree(ctx, filepath.Join(cache, suite), build, &progress{out: log, start: time.Now()})
	if err != nil {
		return Tree{}, fmt.Errorf("prepare tree %q: %w", suite, err)
	}
	tree.Suite = suite
	return tree, nil
}

// builder makes the root directory that hosts see.
type builder interface {
	// requiredTools are what building needs of the machine.
	requiredTools() []tool
	// describeTree says what would be built now. A tree with another description is stale.
	describeTree(ctx context.Context) (string, error)
	// buildTree fills a directory, and returns the root, which may be elsewhere.
	buildTree(ctx context.Context, dir string, p *progress) (root string, err error)
	// rootDir is where build's result is found in its final directory.
	rootDir(dir string) string
}

// prepareTree returns the tree in dir, building it first if there is none with the right stamp.
func prepareTree(ctx context.Context, dir string, b builder, p *progress) (Tree, error) {
	tree := Tree{Root: b.rootDir(dir), Images: filepath.Join(dir, "images")}
	if err := ensureTools(ctx, p.out, hostTools); err != nil {
		return tree, err
	}
	description, err := b.describeTree(ctx)
	if err != nil {
		return tree, err
	}
	stamp := fmt.Sprintf("format %d\n%s\n", treeFormat, description)
	current := func() bool {
		have, err := os.ReadFile(filepath.Join(dir, "stamp"))
		return err == nil && string(have) == stamp
	}
	if current() {
		return tree, nil
	}
	unlock, err := lockFile(ctx, siblingPath(dir, "lock"), p)
	if err != nil {
		return tree, err
	}
	defer unlock()
	if current() { // another process built it meanwhile
		return tree, nil
	}
	if err := ensureTools(ctx, p.out, b.requiredTools()); err != nil {
		return tree, err
	}
	return tree, buildAndSwap(ctx, dir, stamp, b, p)
}

// buildAndSwap builds in a sibling of dir and puts it in dir's place when it is whole.
func buildAndSwap(ctx context.Context, dir, stamp string, b builder, p *progress) error {
	if err := checkUnused(dir); err != nil {
		return err
	}
	partial, old := siblingPath(dir, "partial"), siblingPath(dir, "old")
	// Left by an interrupted build. Nothing is mounted below: builders mount in a namespace that
	// died with them.
	if err := errors.Join(os.RemoveAll(partial), os.RemoveAll(old)); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	root, err := b.buildTree(ctx, partial, p)
	if err != nil {
		return err
	}
	p.startPhase("importing images")
	if err := buildImages(ctx, root, filepath.Join(partial, "images")); err != nil {
		return fmt.Errorf("build images: %w", err)
	}
	// Last, so that what has a stamp is whole.
	if err := os.WriteFile(filepath.Join(partial, "stamp"), []byte(stamp), 0o644); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	p.startPhase("tree ready in %s", dir)
	return os.RemoveAll(old)
}

// checkUnused finds labs that run on the tree in dir, which could not go on without it.
func checkUnused(dir string) error {
	names, err := Names()
	for _, name := range names {
		r, loadErr := loadRecord(name)
		if loadErr == nil && !r.isAbandoned() && strings.HasPrefix(r.Config.Tree.Images, dir+"/") {
			err = errors.Join(err, fmt.Errorf("replace outdated %s: lab %q runs on it; stop it with: lab down -name %s",
				dir, name, name))
		}
	}
	return err
}

// siblingPath is a sibling of a path, hidden, on the same file system.
func siblingPath(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+suffix)
}

// lockFile waits for a lock that dies with its holder. The file stays: removing it would race with
// the next holder.
func lockFile(ctx context.Context, path string, p *progress) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	try := func() error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	if try() != nil {
		p.startPhase("waiting for another process that prepares the same tree")
		// Polled, as a blocked flock would not notice that ctx is cancelled.
		if err := pollUntil(ctx, func() bool { return try() == nil }); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
	}
	return func() { file.Close() }, nil
}
