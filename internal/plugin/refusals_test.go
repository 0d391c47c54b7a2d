package plugin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Connection tracking that refuses is a warning. No container fails for it, and none stays.
func TestRefusedFlowsAreAWarning(t *testing.T) {
	k, plugin := newFakeHost(t)
	empty := len(k.HostNamespace().Links())
	var warnings []string
	plugin.Warn = func(message string) { warnings = append(warnings, message) }
	k.FlowsErr = errors.New("flows are busy")
	ns, r := request(testNetwork, 1)
	r.PortMappings = json.RawMessage(`[{"host_port": 53, "container_port": 53, "protocol": "udp", "range": 1}]`)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Errorf("setup: %v", err)
	}
	if err := plugin.Teardown(ns, r); err != nil {
		t.Errorf("teardown: %v", err)
	}
	if files := storedFiles(t, plugin); len(files) > 0 || len(k.HostNamespace().Links()) != empty {
		t.Errorf("left %q and %+v", files, k.HostNamespace().Links())
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], "flows are busy") {
		t.Errorf("warnings %q, want one of the start and one of the stop", warnings)
	}
}

// Other programs' rules that cannot be read stop nothing, and a start does not even mention them.
func TestUnreadRulesOfOthers(t *testing.T) {
	k, plugin := newFakeHost(t)
	k.HostNamespace().FiltersErr = errors.New("the list kept changing")
	if _, err := plugin.Setup(request(testNetwork, 1)); err != nil {
		t.Error(err)
	}
	var warnings []string
	plugin.Warn = func(message string) { warnings = append(warnings, message) }
	if _, err := plugin.Reload(); err != nil || len(warnings) != 1 {
		t.Errorf("reload: %v, warnings %q, want one", err, warnings)
	}
}
