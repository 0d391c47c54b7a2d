package hostid

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/regfile"
)

// record is the content of a file.
type record struct {
	id      cluster.HostID
	machine fingerprint
}

const header = "# The ID by which other hosts of vxlan-driver know this one. On a copy of this host the agent " +
	"replaces it.\n"

// String is what the file has.
func (r record) String() string {
	text := header + "id=" + r.id.String() + "\n"
	if r.machine.machineID != "" {
		text += "machine-id=" + r.machine.machineID + "\n"
	}
	if r.machine.productUUID != "" {
		text += "product-uuid=" + r.machine.productUUID + "\n"
	}
	return text
}

// readRecord reads a file. One that was cut off, as by a power cut, has no ID.
func readRecord(path string) (record, error) {
	data, err := regfile.ReadText(path)
	if err != nil {
		return record{}, err
	}
	var r record
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "id":
			r.id, _ = cluster.ParseHostID(value)
		case "machine-id":
			r.machine.machineID = value
		case "product-uuid":
			r.machine.productUUID = value
		}
	}
	if r.id.IsZero() {
		return record{}, fmt.Errorf("%s is damaged: it has no ID", path)
	}
	return r, nil
}

// write replaces the file in a directory. After a power cut it is the old or the new one.
func (r record) write(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, File+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(r.String())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, File))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func removeIfExists(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
