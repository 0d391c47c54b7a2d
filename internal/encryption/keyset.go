package encryption

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/regfile"
)

// hostKeys are this host's keys of a network.
type hostKeys struct {
	Keys []hostKey `json:"keys"` // the earlier one first, at most cluster.MaxTunnelKeys
	// Sends is the generation by which packets are to leave.
	Sends uint64 `json:"sends"`
	// Announced is the one by which all packets leave. Others are told that. It follows Sends once the
	// kernel has no entry of the earlier device any more.
	Announced uint64 `json:"announced"`
	// Again tells that the keys are to rotate once the rotation that is under way has ended.
	Again bool `json:"again,omitempty"`
}

// hostKey is this host's key of a generation.
type hostKey struct {
	Generation uint64        `json:"generation"`
	Slot       int           `json:"slot"` // which of the network's two devices
	Private    wireguard.Key `json:"private"`
	Port       uint16        `json:"port,omitempty"` // UDP; 0: the device was not made yet
	// Made is when the key was made, as the time since the machine's start: keys do not outlive that.
	Made time.Duration `json:"made"`
	// ClusterKeys are the IDs of the cluster's keys at that time.
	ClusterKeys []string `json:"cluster_keys,omitempty"`

	public wireguard.Key // of Private
}

// find returns the key of a generation, or nil.
func (k *hostKeys) find(generation uint64) *hostKey {
	for i := range k.Keys {
		if k.Keys[i].Generation == generation {
			return &k.Keys[i]
		}
	}
	return nil
}

// last returns the latest generation, or 0.
func (k *hostKeys) last() uint64 {
	if len(k.Keys) == 0 {
		return 0
	}
	return k.Keys[len(k.Keys)-1].Generation
}

// freeSlot returns a device that no key uses.
func (k *hostKeys) freeSlot() int {
	if len(k.Keys) > 0 && k.Keys[0].Slot == 0 {
		return 1
	}
	return 0
}

func (k *hostKeys) check() error {
	if len(k.Keys) == 0 || len(k.Keys) > cluster.MaxTunnelKeys {
		return fmt.Errorf("has %d keys, and must have one or two", len(k.Keys))
	}
	for i, key := range k.Keys {
		switch {
		case key.Generation < 1 || key.Generation > cluster.MaxGeneration,
			i > 0 && key.Generation == k.Keys[0].Generation:
			return fmt.Errorf("has a key of generation %d, which is out of range or repeated", key.Generation)
		case key.Private.IsZero():
			return fmt.Errorf("has no key of generation %d", key.Generation)
		case key.Slot != 0 && key.Slot != 1 || i > 0 && key.Slot == k.Keys[0].Slot:
			return fmt.Errorf("has a key for the device %d", key.Slot)
		}
	}
	if k.find(k.Sends) == nil || k.find(k.Announced) == nil {
		return errors.New("names a generation that it has no key of")
	}
	return nil
}

// KeyDir is a directory with a file for each encrypted network, which has this host's private keys.
// Nobody but root can read it. It is in memory (/run), as the containers that the keys are for do not
// outlive the machine's start either: no disk and no copy of it has a key.
type KeyDir string

func (d KeyDir) path(networkID string) string { return filepath.Join(string(d), networkID+".json") }

// load returns a network's keys. There may be none yet.
func (d KeyDir) load(networkID string) (keys hostKeys, err error) {
	path := d.path(networkID)
	data, err := regfile.ReadText(path)
	if errors.Is(err, fs.ErrNotExist) {
		return hostKeys{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &keys)
		if err == nil {
			err = keys.check()
		}
		if _, isSyntax := errors.AsType[*json.SyntaxError](err); isSyntax {
			err = errors.New("is damaged") // the error itself may quote a key
		}
	}
	for i := range keys.Keys {
		keys.Keys[i].public = keys.Keys[i].Private.Public()
	}
	if err != nil {
		return hostKeys{}, fmt.Errorf("read the keys in %s: %w; nothing of the network leaves or is taken in; "+
			"remove the file, and new keys are made", path, err)
	}
	return keys, nil
}

// savedAt is the time of day at which a network's keys were last saved, zero if they never were.
func (d KeyDir) savedAt(networkID string) time.Time {
	info, err := os.Stat(d.path(networkID))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// save keeps a network's keys. A reader never sees half a file.
func (d KeyDir) save(networkID string, keys hostKeys) error {
	path := d.path(networkID)
	data, err := json.Marshal(keys)
	if err == nil {
		err = os.MkdirAll(string(d), 0o700)
	}
	if err == nil {
		err = replaceFile(path, data)
	}
	if err != nil {
		return fmt.Errorf("keep the keys in %s: %w", path, err)
	}
	return nil
}

func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// remove removes a network's keys.
func (d KeyDir) remove(networkID string) error {
	if err := os.Remove(d.path(networkID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the keys: %w", err)
	}
	return nil
}

// removeExcept removes the keys of networks that are not wanted, and what a killed agent has left.
func (d KeyDir) removeExcept(wanted func(networkID string) bool) error {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if id, isKeys := cutKeyFile(e.Name()); !isKeys || !wanted(id) {
			errs = append(errs, os.RemoveAll(filepath.Join(string(d), e.Name())))
		}
	}
	return errors.Join(errs...)
}

func cutKeyFile(name string) (networkID string, ok bool) {
	ext := filepath.Ext(name)
	return name[:len(name)-len(ext)], ext == ".json" && name[0] != '.'
}
