package hostsetup

import (
	"errors"
	"fmt"
	"strings"

	"vxlan-driver/internal/config"
)

// Leave takes this host out of its cluster for good, and removes what Init and Join wrote.
func Leave(h Host, report Report) error {
	containers, err := h.GossipContainers()
	if err != nil {
		return err
	}
	if len(containers) > 0 {
		return fmt.Errorf("containers use networks with discovery=gossip, which need the cluster: %s; "+
			"remove them, or take them off these networks with `podman network disconnect`; nothing was changed", strings.Join(
			containers, ", "))
	}
	m, err := readMember(h)
	if err != nil {
		return err
	}
	_, interrupted, err := readIfExists(h, joiningPath)
	if err != nil {
		return err
	}
	left := config.RemoveWritten(m.texts.Main)
	if left == m.texts.Main && m.texts.Cluster == "" && !interrupted {
		return m.explainOwnFiles()
	}
	// So that the same command goes on if it is interrupted.
	if err := (joining{}).save(h); err != nil {
		return err
	}
	if err := h.LeaveClusters(); err != nil {
		report("warning: the others were not told: %v; they show this host as unreachable until `vxlanctl host forget`", err)
	}
	if err := m.removeMembership(h, left, report); err != nil {
		return err
	}
	// The agent gives up the key before its file goes.
	if err := h.RefreshAgent(); err != nil {
		return fmt.Errorf("the agent does not follow; type the command again: %w", err)
	}
	if err := m.removeKey(h, left, report); err != nil {
		return err
	}
	return h.Remove(joiningPath)
}

// removeMembership removes the cluster's file, and leaves in the administrator's what no earlier
// version wrote.
func (m member) removeMembership(h Host, left string, report Report) error {
	if left != m.texts.Main {
		if err := h.WriteFile(ConfigPath, []byte(left)); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		report("%s: removed what `vxlanctl init` or `vxlanctl join` added", ConfigPath)
	}
	if m.texts.Cluster == "" {
		return nil
	}
	if err := h.Remove(ClusterPath); err != nil {
		return fmt.Errorf("remove configuration: %w", err)
	}
	report("%s: removed", ClusterPath)
	return nil
}

// explainOwnFiles refuses to undo what a person wrote.
func (m member) explainOwnFiles() error {
	if !m.configured {
		return errors.New("this host is no member of a cluster")
	}
	return fmt.Errorf(
		"what makes this host a member was not written by `vxlanctl init` or `vxlanctl join`; remove key_file and seeds "+
			"from %s and the key yourself, then type `vxlanctl reload`", ConfigPath)
}

// removeKey removes the key file, unless the configuration that is left still names it.
func (m member) removeKey(h Host, left string, report Report) error {
	settings, err := config.ParseSettings(left)
	if err != nil {
		return fmt.Errorf("configuration %s:\n%w", ConfigPath, err)
	}
	if settings.KeyFile != "" || len(m.keys) == 0 {
		return nil
	}
	if err := h.Remove(m.keyPath); err != nil {
		return fmt.Errorf("remove key file: %w", err)
	}
	report("%s: removed", m.keyPath)
	return nil
}
