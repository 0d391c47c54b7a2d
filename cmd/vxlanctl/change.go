package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/podmannet"
)

// ChangeNetwork changes options of a network while its containers run. Podman's file comes first: if
// this is interrupted, to type it again completes it.
func (h localHost) ChangeNetwork(name string,
	change func(map[string]string) (map[string]string, error)) (ctl.ChangedNetwork, error) {
	changed, err := h.rewriteNetwork(name, optionChange{
		change: change, check: ctl.CheckChangeable, transfer: ctl.WithChangeable,
	})
	if err != nil {
		return ctl.ChangedNetwork{}, err
	}
	if _, err := h.Reload(); err != nil {
		return ctl.ChangedNetwork{}, fmt.Errorf("the options are changed, but this host does not follow them yet: %w", err)
	}
	return changed, nil
}

// optionChange is a change of a network's options.
type optionChange struct {
	change func(map[string]string) (map[string]string, error)
	check  func(before, after map[string]string) error // refuses what may not change so
	// prepare does what must be done before Podman's file is changed; nil: nothing.
	prepare func(before, after map[string]string, config []byte) error
	// transfer returns recorded options with those of the others that may.
	transfer func(recorded, others map[string]string) map[string]string
}

// rewriteNetwork changes a network in Podman's file and in the store.
func (h localHost) rewriteNetwork(name string, c optionChange) (changed ctl.ChangedNetwork, err error) {
	lock, err := podmannet.Lock(h.NetworksDir)
	if err != nil {
		return ctl.ChangedNetwork{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	file, err := podmannet.Find(h.NetworksDir, network.Driver, name)
	if err != nil {
		return ctl.ChangedNetwork{}, err
	}
	before, err := podmannet.Options(file.Data)
	if err != nil {
		return ctl.ChangedNetwork{}, err
	}
	after, err := c.change(maps.Clone(before))
	if err != nil {
		return ctl.ChangedNetwork{}, err
	}
	if !maps.Equal(before, after) {
		if err := h.replaceOptions(file, before, after, c); err != nil {
			return ctl.ChangedNetwork{}, err
		}
	}
	err = h.ChangeConfig(file.ID, func(config []byte) ([]byte, error) {
		recorded, err := podmannet.Options(config)
		if err != nil {
			return nil, err
		}
		return podmannet.WithOptions(config, c.transfer(recorded, after))
	})
	return ctl.ChangedNetwork{Name: file.Name, Before: before, After: after}, err
}

// replaceOptions rewrites Podman's file, once all is checked.
func (h localHost) replaceOptions(file podmannet.File, before, after map[string]string, c optionChange) error {
	config, err := podmannet.WithOptions(file.Data, after)
	if err != nil {
		return err
	}
	if err := h.CheckChange(file.Data, config); err != nil {
		return err
	}
	if err := c.check(before, after); err != nil {
		return err
	}
	if c.prepare != nil {
		if err := c.prepare(before, after, config); err != nil {
			return err
		}
	}
	return file.Replace(config)
}

// RemoveNetwork removes a network that no container uses.
func (h localHost) RemoveNetwork(name string) error {
	file, err := podmannet.Find(h.NetworksDir, network.Driver, name)
	if err != nil {
		return err
	}
	users, err := runPodman("ps", "--all", "--filter", "network="+file.Name, "--format", "{{.Names}}")
	if err != nil {
		return err
	}
	if names := strings.Fields(users); len(names) > 0 {
		slices.Sort(names)
		return fmt.Errorf(
			"it is used by container %s; remove these containers, or take them off with `podman network disconnect %s "+
				"CONTAINER`",
			strings.Join(names, ", "), file.Name)
	}
	if _, err := runPodman("network", "rm", file.Name); err != nil {
		return err
	}
	s, err := h.Begin()
	if err != nil {
		return err
	}
	return errors.Join(s.DropOrphans(), s.RemoveUnused(), s.Close())
}

// runPodman returns what Podman prints. Its error is what it says of one.
func runPodman(args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.Command("podman", args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(said.String()); text != "" {
			err = errors.New(text)
		}
		return "", fmt.Errorf("podman %s: %w", args[0], err)
	}
	return out.String(), nil
}
