package metrics

import (
	"bytes"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
)

func TestWriteText(t *testing.T) {
	var out bytes.Buffer
	err := WriteText(&out, agentapi.StatusReport{Version: "1.2", Networks: []agentapi.NetworkStatus{{Name: "blue", Local: 3}}})
	if err != nil || !strings.Contains(out.String(), `vxlan_build_info{`) || !strings.Contains(out.String(), "# TYPE vxlan_endpoints gauge") {
		t.Errorf("wrote, %v\n%s", err, out.String())
	}
}
