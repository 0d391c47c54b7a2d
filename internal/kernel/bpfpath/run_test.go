package bpfpath

import (
	"os"
	"testing"

	"vxlan-driver/internal/kernel/wireguard/wggotest"
)

func TestMain(m *testing.M) {
	wggotest.RunIfAsked()
	os.Exit(m.Run())
}
