package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// stateDir has one directory a lab.
const stateDir = "/run/vxlan-lab"

// record is what must be known of a lab by whoever did not start it: another `lab` command, or the
// one that cleans up. It is kept in /run/vxlan-lab/NAME/lab.json and written before what it
// describes is made.
type record struct {
	Config Config       `json:"config"`
	Owner  *process     `json:"owner,omitempty"` // nil: outlives its maker
	Holder process      `json:"holder"`          // holds the underlay
	Hosts  []hostRecord `json:"hosts"`
}

type hostRecord struct {
	Name   string  `json:"name"`
	Number int     `json:"number"` // last byte of its addresses
	Init   process `json:"init"`
}

func labDir(name string) string { return filepath.Join(stateDir, name) }

// dataDir is where the underlay's holder mounts the tmpfs with the hosts' files.
func dataDir(name string) string { return filepath.Join(labDir(name), "data") }

func (r *record) writeFile() error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(labDir(r.Config.Name), "lab.json")
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write record of lab %q: %w", r.Config.Name, err)
	}
	return os.Rename(path+".new", path)
}

func loadRecord(name string) (*record, error) {
	data, err := os.ReadFile(filepath.Join(labDir(name), "lab.json"))
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read record of lab %q: %w", name, err)
	}
	return r, nil
}

// isAbandoned tells that nobody will close this lab any more: its owner is dead, or the machine was
// rebooted under it.
func (r *record) isAbandoned() bool {
	if r.Owner != nil {
		return !r.Owner.isAlive()
	}
	return !r.Holder.isAlive()
}

// withStateLock runs fn while no other process starts or sweeps a lab. The lock is on the state
// directory itself, so that no lock file is left over, and the directory goes when its last lab has
// gone.
func withStateLock(fn func() error) error {
	for {
		if err := os.MkdirAll(stateDir, 0o755); err != nil {
			return err
		}
		dir, err := os.Open(stateDir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
			return errors.Join(fmt.Errorf("lock %s: %w", stateDir, err), dir.Close())
		}
		if !isCurrent(dir) {
			dir.Close() // removed by the one who had the lock before us
			continue
		}
		err = fn()
		_ = os.Remove(stateDir) // succeeds only if empty
		return errors.Join(err, dir.Close())
	}
}

func isCurrent(dir *os.File) bool {
	held, err := dir.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(stateDir)
	return err == nil && os.SameFile(held, now)
}

// claimName makes the lab's directory and writes its first record, so that from here on it is found
// by Sweep. An abandoned lab of that name is removed first.
func claimName(ctx context.Context, r *record) error {
	name := r.Config.Name
	return withStateLock(func() error {
		old, err := loadRecord(name)
		if err == nil && !old.isAbandoned() {
			return fmt.Errorf("start lab %q: a lab of this name is running; stop it with: lab down -name %s", name, name)
		}
		if err := destroyLab(ctx, name); err != nil {
			return err
		}
		if err := os.MkdirAll(dataDir(name), 0o755); err != nil {
			return err
		}
		return r.writeFile()
	})
}

// Names lists the labs of this machine, those that lost their owner included.
func Names() ([]string, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// Sweep removes the labs whose owner died without closing them, and those left by an earlier boot
// of the machine. Labs that are in use, or that were started to outlive their maker, stay.
func Sweep(ctx context.Context) error {
	return withStateLock(func() error {
		names, err := Names()
		for _, name := range names {
			// Records are written under this lock: a directory without one is left of an
			// interrupted start.
			if r, loadErr := loadRecord(name); loadErr != nil || r.isAbandoned() {
				err = errors.Join(err, destroyLab(ctx, name))
			}
		}
		return err
	})
}

// destroyLab removes all there is of a lab, whoever made it and however far that got. It is safe to
// repeat, and no error if there is nothing.
func destroyLab(ctx context.Context, name string) error {
	group, err := labCgroup(name)
	if err != nil {
		return err
	}
	holder := underlay{}
	if r, err := loadRecord(name); err == nil {
		holder = underlay{holder: r.Holder}
	}
	// Hosts first. The kernel frees a network namespace some time after its last process has died,
	// and this can be seen only from the other end of its veth, so the underlay must live until
	// those have gone.
	for _, host := range group.childGroups() {
		if filepath.Base(string(host)) != underlayCgroup {
			err = errors.Join(err, host.killAndRemove(ctx))
		}
	}
	err = errors.Join(err, holder.waitDisconnected(ctx, ""), group.killAndRemove(ctx))
	if err != nil {
		return fmt.Errorf("remove lab %q: %w", name, err) // the record stays, so that it can be tried again
	}
	return os.RemoveAll(labDir(name))
}
