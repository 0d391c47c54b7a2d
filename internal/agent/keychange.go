package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/regfile"
)

// keyChanges keeps changes of the key file apart.
type keyChanges struct{ mu sync.Mutex }

// handleKeys says which keys the key file has.
func (a *Agent) handleKeys() agentapi.Response {
	report := agentapi.KeysReport{File: a.Config.KeyFile, Keys: []string{}, Fixed: !a.Config.RotateKeys}
	if a.KeyFile == nil {
		return dataResponse(report, nil)
	}
	keys, err := clusterkey.Load(a.Config.KeyFile)
	for _, k := range keys {
		report.Keys = append(report.Keys, k.ID())
	}
	return dataResponse(report, err)
}

// handleKeyChange does a step of a change of keys. The request came from this host's root, or was
// encrypted with a key that this host has.
func (a *Agent) handleKeyChange(data json.RawMessage) agentapi.Response {
	var change agentapi.KeyChange
	if err := json.Unmarshal(data, &change); err != nil {
		return errorResponse(fmt.Errorf("change the key: the request cannot be read: %w", err))
	}
	if err := a.changeKeys(change); err != nil {
		return errorResponse(fmt.Errorf("change the key: %w", err))
	}
	return a.handleKeys()
}

func (a *Agent) changeKeys(change agentapi.KeyChange) error {
	switch {
	case a.KeyFile == nil:
		return errors.New("this host has no key")
	case !a.Config.RotateKeys:
		return errors.New("rotate_keys = false in its vxland.toml: change its key file by hand")
	}
	a.keyChanges.mu.Lock()
	defer a.keyChanges.mu.Unlock()
	path := a.Config.KeyFile
	keys, err := clusterkey.Load(path)
	if err != nil {
		return err
	}
	file, err := regfile.ReadText(path)
	if err != nil {
		return err
	}
	edited, err := editKeys(file, keys, change)
	if err != nil {
		return err
	}
	if string(edited) != string(file) {
		if err := clusterkey.WriteFile(path, edited); err != nil {
			return fmt.Errorf("%w; %s", err, writableAdvice)
		}
		a.Log.Info("changed the key file for a rotation", "step", change.Step, "key", change.ID)
	}
	if a.enrolment != nil {
		// A host that got the old key and has not said so must not get the new one by its token.
		if err := a.enrolment.store.CloseUses(); err != nil {
			return err
		}
	}
	return a.KeyFile.Check()
}

// writableAdvice says where the unit lets the agent write.
const writableAdvice = "with systemd, if /etc/vxlan was made anew type `systemctl restart vxland.service`; " +
	"a file elsewhere needs ReadWritePaths= in `systemctl edit vxland`"

// editKeys returns the key file after a step.
func editKeys(file []byte, keys []clusterkey.Key, change agentapi.KeyChange) ([]byte, error) {
	if change.Step == agentapi.KeyInstall {
		key, err := clusterkey.ParseLine(change.Key)
		if err == nil && key.ID() != change.ID {
			err = errors.New("the key has another ID than is said")
		}
		if err != nil {
			return nil, err
		}
		return clusterkey.Install(file, key)
	}
	i := slices.IndexFunc(keys, func(k clusterkey.Key) bool { return k.ID() == change.ID })
	if i < 0 {
		return nil, fmt.Errorf("this host has no key %s", change.ID)
	}
	switch change.Step {
	case agentapi.KeyUse:
		return clusterkey.Use(file, keys[i])
	case agentapi.KeyRemove:
		if i != 0 {
			return nil, fmt.Errorf("key %s does not encrypt yet", change.ID)
		}
		var err error
		for _, old := range keys[1:] {
			if file, err = clusterkey.Remove(file, old); err != nil {
				return nil, err
			}
		}
		return file, nil
	}
	return nil, fmt.Errorf("unknown step %q", change.Step)
}
