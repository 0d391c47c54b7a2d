package podmannet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vxlan-driver/internal/regfile"
)

// File is the configuration file of one network.
type File struct {
	Path   string
	Name   string
	ID     string
	Driver string
	Data   []byte // JSON
}

// List returns the networks of a driver, by name. A file that is no network is left out, as Podman
// does.
func List(dir, driver string) (files []File, err error) {
	files, err = listAll(dir)
	return slices.DeleteFunc(files, func(f File) bool { return f.Driver != driver }), err
}

// Named returns the network of a name, of whatever driver. It is empty if there is none.
func Named(dir, name string) (File, error) {
	files, err := listAll(dir)
	for _, f := range files {
		if f.Name == name {
			return f, nil
		}
	}
	return File{}, err
}

func listAll(dir string) (files []File, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	for _, path := range paths { // Podman names the file after the network
		data, err := regfile.ReadState(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regfile.ErrNotRegular) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list networks: %w", err)
		}
		var n struct{ Name, ID, Driver string }
		if json.Unmarshal(data, &n) == nil && n.Driver != "" {
			files = append(files, File{Path: path, Name: n.Name, ID: n.ID, Driver: n.Driver, Data: data})
		}
	}
	return files, nil
}

// Find returns the network of a driver that has the name, or the ID.
func Find(dir, driver, name string) (File, error) {
	files, err := List(dir, driver)
	if err != nil {
		return File{}, err
	}
	var names []string
	for _, f := range files {
		if f.Name == name || f.ID == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return File{}, fmt.Errorf("this host's Podman has no network %s, and no other of the driver %s", name, driver)
	}
	return File{}, fmt.Errorf("this host's Podman has no network %s of the driver %s; it has %s", name, driver,
		strings.Join(names, ", "))
}

// Replace replaces what the file has, so that whoever reads it finds the one or the other whole.
// Owner and permissions stay.
func (f File) Replace(data []byte) (err error) {
	info, err := os.Stat(f.Path)
	if err != nil {
		return fmt.Errorf("replace network %s: %w", f.Name, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(f.Path), "."+f.Name+".json.*") // which Podman does not read
	if err != nil {
		return fmt.Errorf("replace network %s: %w", f.Name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("replace network %s: %w", f.Name, err)
			_ = os.Remove(temp.Name())
		}
	}()
	_, writeErr := temp.Write(data)
	if err := errors.Join(writeErr, temp.Chmod(info.Mode().Perm()), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.Path)
}

// Options returns a network's options.
func Options(config []byte) (map[string]string, error) {
	var n struct {
		Options map[string]string `json:"options"`
	}
	if err := json.Unmarshal(config, &n); err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	if n.Options == nil {
		n.Options = make(map[string]string)
	}
	return n.Options, nil
}

// WithOptions returns the configuration with other options. All else stays as it is, keys that are
// not known here included.
func WithOptions(config []byte, options map[string]string) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	m["options"] = text
	return json.MarshalIndent(m, "", "     ") // as Podman does
}
