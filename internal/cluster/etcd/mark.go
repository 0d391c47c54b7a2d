package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/regfile"
)

// mark says which etcd a host knew last, and how new that was. The host keeps it in a file. So an agent that
// starts after a backup of etcd was restored notices that, as one does that runs.
type mark struct {
	Cluster  uint64 `json:"cluster"` // etcd's ID of itself; 0: not known
	Revision int64  `json:"revision"`
	// Restored says that hosts are still writing anew what they have, so nobody gets an address.
	Restored bool `json:"restored,omitempty"`
}

// isOlderIn tells whether an answer that has to be as new as the mark is of an older etcd, or of another one.
func (m mark) isOlderIn(h *pb.ResponseHeader) bool {
	return h.Revision < m.Revision || m.Cluster != 0 && m.Cluster != h.ClusterId
}

// readMark reads the file. Without one, the host knew no etcd.
func readMark(path string) (m mark, err error) {
	data, err := regfile.ReadText(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return mark{}, fmt.Errorf("read how new etcd was from %s: %w", path, err)
	}
	return m, nil
}

// write replaces the file. After a power cut it is the old or the new one.
func (m mark) write(path string) (err error) {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// loadMark takes over what the agent before this one knew. What etcd answers is compared with that.
func (p *Plane) loadMark() {
	if p.cfg.MarkFile == "" {
		return
	}
	known, err := readMark(p.cfg.MarkFile)
	if err != nil {
		p.log.Warn("it is not noticed if etcd was restored from an older state while no agent ran", "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest, p.marked = mark{Cluster: known.Cluster, Revision: known.Revision}, known
	if known.Restored {
		p.restored = boottime.Now()
	}
}

// saveMark writes the file: if that is due, or etcd was restored, or all hosts had the time to write what they have.
func (p *Plane) saveMark(isDue bool) {
	p.mu.Lock()
	newest, before := p.newest, p.marked
	newest.Restored = p.recoveryLocked() > 0
	p.mu.Unlock()
	isDue = isDue && newest != before || newest.Restored != before.Restored
	if p.cfg.MarkFile == "" || newest.Cluster == 0 || !isDue {
		return
	}
	if err := newest.write(p.cfg.MarkFile); err != nil {
		p.log.Warn("cannot keep how new etcd is, by which a restored backup would be noticed", "err", err)
	}
	p.withLock(func() { p.marked = newest }) // if that failed, the next news are written
}

// endMark keeps the mark for the next agent, unless this host has left. Then it knows no more of etcd than a new host
// does, and the next etcd may well be another one.
func (p *Plane) endMark() {
	p.mu.Lock()
	leaving := p.leaving
	p.mu.Unlock()
	if !leaving {
		p.saveMark(true)
		return
	}
	if err := os.Remove(p.cfg.MarkFile); err != nil && !errors.Is(err, fs.ErrNotExist) && p.cfg.MarkFile != "" {
		p.log.Warn("cannot forget which etcd this host knew; another one would seem restored", "err", err)
	}
}
