package agent

import (
	"context"

	"vxlan-driver/internal/agentapi"
)

// KeyFile is a key file whose keys take effect while the agent runs.
type KeyFile interface {
	// Follow follows the file until ctx is done.
	Follow(ctx context.Context)
	// Check acts on the file as it is now. It says what is wrong with it, and what that means.
	Check() error
	// Status says which keys are used, and what is wrong with the file, as Check does.
	Status() (keys, problem string)
	// IDs are the keys that are used, each by its hash; the first encrypts.
	IDs() []string
}

// checkKeys makes the clusters use what the key file has now.
func (a *Agent) checkKeys() error {
	if a.KeyFile == nil {
		return nil
	}
	return a.KeyFile.Check()
}

// reportKeys adds the keys to a report.
func (a *Agent) reportKeys(report *agentapi.StatusReport) {
	if a.KeyFile == nil {
		return
	}
	keys, problem := a.KeyFile.Status()
	report.Keys, report.KeyIDs = keys, a.KeyFile.IDs()
	if problem != "" {
		report.Warnings = append([]string{problem}, report.Warnings...)
	}
}
