package network

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// The files that tell other programs to leave the devices alone match all names that the driver
// chooses.
func TestInstalledFilesMatchTheDevices(t *testing.T) {
	var names []string
	for _, name := range []string{"a", "vxlan-network", "a-network-of-a-longer-name"} {
		id := newIdentity("7c7b", name, "")
		names = append(names, id.Bridge.Name, id.Device.Name, id.PortName("0123"), id.WireGuard[0].Name, id.WireGuard[1].Name)
	}
	for file, prefix := range map[string]string{
		"networkd/05-vxlan-driver.network": "Name=", "networkd/05-vxlan-driver.link": "OriginalName=", "NetworkManager/vxlan-driver.conf": "match-device=",
	} {
		data, err := os.ReadFile("../../packaging/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var patterns []string
		for line := range strings.Lines(string(data)) {
			if list, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
				patterns = strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' })
			}
		}
		for _, name := range names {
			found := false
			for _, p := range patterns {
				ok, err := path.Match(strings.TrimPrefix(p, "interface-name:"), name)
				found = found || ok && err == nil
			}
			if !found {
				t.Errorf("%s: nothing of %q matches %s", file, patterns, name)
			}
		}
		for _, p := range patterns {
			for _, foreign := range []string{"eth0", "veth0", "veth1a2b3c4", "br-1a2b3c4d5e6f", "docker0", "wlan0", "wg0", "wg1",
				"wg2-office"} {
				if ok, _ := path.Match(strings.TrimPrefix(p, "interface-name:"), foreign); ok {
					t.Errorf("%s: %s matches another program's %s", file, p, foreign)
				}
			}
		}
	}
}

// Uninstalling leaves no directory behind, but those that are another program's.
func TestUninstallKeepsOthersDirectories(t *testing.T) {
	for _, hasNetworkManager := range []bool{true, false} {
		root := t.TempDir()
		conf := filepath.Join(root, "etc/NetworkManager/conf.d")
		for _, dir := range []string{conf, filepath.Join(root, "usr/local/libexec/vxlan")} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if hasNetworkManager {
			if err := os.WriteFile(filepath.Join(root, "etc/NetworkManager/NetworkManager.conf"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		uninstall := exec.Command("../../packaging/install.sh", "uninstall")
		uninstall.Env = append(os.Environ(), "DESTDIR="+root, "PREFIX=/usr/local")
		if out, err := uninstall.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := os.Stat(conf); (err == nil) != hasNetworkManager {
			t.Errorf("with NetworkManager %v: %s is there: %v", hasNetworkManager, conf, err == nil)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/local/libexec/vxlan")); err == nil {
			t.Error("the driver's own directory is left")
		}
	}
}
