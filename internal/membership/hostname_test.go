package membership

import (
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
)

func TestHostNameIsValid(t *testing.T) {
	tests := []struct{ host, want string }{
		{"web1", "web1"},
		{"web1.example.com", "web1.example.com"},
		{"", "unnamed"},
		{"ümlaut.example.com", "mlaut"},
		{"ü", "unnamed"},
		{"web1.", "web1"},
		{"web 1\x1b[2J", "web12J"},
		{strings.Repeat("x", 64), strings.Repeat("x", 63)},
		{strings.Repeat("x", 40) + "." + strings.Repeat("y", 40), strings.Repeat("x", 40)},
	}
	for _, tt := range tests {
		got := HostName(tt.host)
		if err := cluster.CheckName(got); err != nil || len(got) > maxHostName || got != tt.want {
			t.Errorf("%q: got %q, want %q: %v", tt.host, got, tt.want, err)
		}
	}
}
