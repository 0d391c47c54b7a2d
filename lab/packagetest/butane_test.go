package packagetest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ignition is what Butane makes of the example, of which this is all.
type ignition struct {
	Storage struct {
		Directories []struct {
			Path string
			Mode os.FileMode
		}
		Files []struct {
			Path     string
			Mode     os.FileMode
			Contents struct{ Source, Compression string }
		}
	}
	Systemd struct {
		Units []struct {
			Name    string
			Enabled bool
		}
	}
}

// translateExample translates the example with Butane, which may have nothing to say against it.
func translateExample(t *testing.T) ignition {
	t.Helper()
	butane := exec.Command("go", "tool", "github.com/coreos/butane/internal", "--strict", "../../examples/image/host.bu")
	butane.Dir = "../../packaging/butane"
	var said bytes.Buffer
	butane.Stderr = &said
	out, err := butane.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("Butane: %v: %s", err, &said)
	}
	var host ignition
	decoder := json.NewDecoder(bytes.NewReader(out))
	if err := decoder.Decode(&host); err != nil {
		t.Fatal(err)
	}
	return host
}

// decodeSource returns what a data URL has.
func decodeSource(source, compression string) ([]byte, error) {
	encoding, text, found := strings.Cut(strings.TrimPrefix(source, "data:"), ",")
	if !found {
		return nil, fmt.Errorf("%q is no data URL", source)
	}
	data, err := url.PathUnescape(text)
	if encoding == ";base64" {
		var raw []byte
		raw, err = base64.StdEncoding.DecodeString(text)
		data = string(raw)
	}
	if err != nil || compression != "gzip" {
		return []byte(data), err
	}
	unzip, err := gzip.NewReader(strings.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unzip)
}

// applyButane does to a host what Ignition does with the example, with an image of the extension in
// place of the one to download. Then the host has the network, and a container on it.
func applyButane(n node, deb string) {
	image := filepath.Join(n.TempDir(), "vxlan-driver.raw")
	if out, err := exec.Command("../../examples/image/sysext.sh", deb, image).CombinedOutput(); err != nil {
		n.Fatalf("%v: %s", err, out)
	}
	n.mustRun("mount --make-rshared /; ip address add 192.168.1.10/24 dev eth0")
	n.mustRun("mknod /dev/loop-control c 10 237; for i in $(seq 0 7); do mknod /dev/loop$i b 7 $i; done")
	host := translateExample(n.T)
	for _, dir := range host.Storage.Directories {
		n.mustRun(fmt.Sprintf("mkdir -p -m %o %s", dir.Mode, dir.Path))
	}
	for _, file := range host.Storage.Files {
		data, err := decodeSource(file.Contents.Source, file.Contents.Compression)
		switch file.Path { // what the example says is to be replaced
		case "/etc/extensions/vxlan-driver.raw":
			data, err = os.ReadFile(image)
		case "/etc/vxlan/key":
			data = bytes.ReplaceAll(data, []byte("0000000000000000"), []byte("0123456789abcdef"))
		}
		if err == nil {
			n.mustRun("mkdir -p " + filepath.Dir(file.Path))
			err = n.host.WriteFile(file.Path, data, max(file.Mode, 0o600))
		}
		if err != nil {
			n.Fatal(err)
		}
	}
	for _, unit := range host.Systemd.Units {
		n.mustRun("systemctl enable " + unit.Name + " && systemctl start " + unit.Name)
	}
	n.mustRun("vxlanctl --version && vxlanctl config check && vxlanctl config show | grep 'key_file.*/etc/vxlan/key'")
	n.mustRun("systemctl start mynet-network.service && podman network inspect mynet | grep '\"remote_ips\": \"192.168.1.10,192.168.1.11\"'")
	n.mustRun("podman run -d --name web --network mynet localhost/web && podman run -d --name other --network mynet localhost/web")
	n.succeedsWithin(3*time.Second, "podman exec other ping -c1 -W1 web")
	n.mustRun("systemctl is-active vxland.service; vxlanctl status >/tmp/status; ! grep VX0704 /tmp/status")
}
