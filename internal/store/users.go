package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"vxlan-driver/internal/regfile"
)

// SetAllowedUsers keeps the numbers of those users of the host that the configuration allows what
// otherwise only root may. The plugin does not read the configuration, and sets the firewall too.
func (s *Store) SetAllowedUsers(ids []uint32) error {
	if len(ids) == 0 {
		if err := removeFile(s.usersFile()); err != nil {
			return fmt.Errorf("forget allowed users: %w", err)
		}
		return nil
	}
	data, err := json.Marshal(ids)
	if err == nil {
		err = writeFile(s.usersFile(), data)
	}
	if err != nil {
		return fmt.Errorf("store allowed users: %w", err)
	}
	return nil
}

// AllowedUsers returns the users that were set. A damaged file allows none: who sets them sets them
// again.
func (s *Store) AllowedUsers() (ids []uint32, err error) {
	data, err := regfile.ReadText(s.usersFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read allowed users: %w", err)
	}
	if json.Unmarshal(data, &ids) != nil {
		return nil, nil
	}
	return ids, nil
}

func (s *Store) usersFile() string { return filepath.Join(s.dir, "allowed-users.json") }
