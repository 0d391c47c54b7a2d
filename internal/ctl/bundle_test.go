package ctl

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/config"
)

const (
	plantedKey   = "8f1c0f4be5f36d6e1d3e3a0a5f5b1c7d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b"
	plantedToken = "correct-horse-battery"
)

// planted is a host whose programs print secrets, and names and addresses of all kinds.
func planted(t *testing.T) bundleOptions {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "vxland.toml")
	for path, text := range map[string]string{file: "cluster = \"acme\"\n", filepath.Join(dir, "key"): plantedKey + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return bundleOptions{
		all: true, file: "-", version: "1.2.3", configDir: dir, config: config.FilesAt(file), environ: []string{"JOIN_TOKEN=" + plantedToken},
		run: func(_ context.Context, name string, args ...string) ([]byte, error) {
			command := name + " " + strings.Join(args, " ")
			switch {
			case name == "tc":
				return nil, errors.New("tc of web is not installed, " + plantedToken)
			case strings.HasPrefix(command, "podman ps"):
				return []byte("web\nshop\n"), nil
			case strings.HasPrefix(command, "podman network ls"):
				return []byte("podman\nblue\nprivate\n"), nil
			}
			return []byte(command + "\nkey " + plantedKey + " token " + plantedToken +
				"\nacme host-b web shop private br-vxlan-blue 198.18.0.2 10.0.0.4/28 fd00::4 06:00:00:00:00:04\n"), nil
		},
	}
}

// bundleOf returns the files of an archive.
func bundleOf(t *testing.T, o bundleOptions, host fakeHost) map[string]string {
	t.Helper()
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	if err := o.write(t.Context(), cmd, host); err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "vxlan-bundle/")] = string(text)
	}
}

func TestBundleHasNoSecrets(t *testing.T) {
	files := bundleOf(t, planted(t), fakeHost{})
	for name, text := range files {
		if strings.Contains(text, plantedKey) || strings.Contains(text, plantedToken) {
			t.Errorf("%s has a secret:\n%s", name, text)
		}
	}
	for name, want := range map[string]string{
		"status.json": `"blue"`, "inventory.json": `"db"`, "fdb.json": `"198.18.0.3"`, "doctor.json": `"host-a"`, "events.json": "{", "config.json": "acme",
		"nft/ruleset.txt": "nft list ruleset", "log.txt": "journalctl --unit vxland --lines 1000", "podman/networks.json": "podman network inspect blue idle red\n",
		"versions/vxlanctl.txt": "1.2.3", "sysctl.txt": "net.ipv4.ip_forward = ", "hosts/status.json": "[", "hosts/diagnose.json": "[", "hosts/events.json": "[",
		"MISSING": "tc/qdisc.txt: tc of web is not installed, (removed)\n",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s lacks %s:\n%s", name, want, files[name])
		}
	}
}

func TestAnonymizedBundle(t *testing.T) {
	o := planted(t)
	o.anonymize = true
	files := bundleOf(t, o, fakeHost{})
	for name, text := range files {
		for _, original := range []string{
			plantedKey, plantedToken, "host-a", "host-b", "host-c", "acme", "blue", "idle", "private", "shop", `"db"`, `"web"`, "of web",
			"198.18.", "10.0.0.", "fd00:", "06:00:00",
		} {
			if strings.Contains(text, original) {
				t.Errorf("%s has %s:\n%s", name, original, text)
			}
		}
	}
	// The same is called the same in all files.
	line := files["ip/link.txt"][strings.Index(files["ip/link.txt"], "anon-"):]
	for _, word := range strings.Fields(line)[4:] {
		if !strings.Contains(files["nft/ruleset.txt"], word) {
			t.Errorf("%s is not in both files", word)
		}
	}
	if mac := strings.Fields(line)[len(strings.Fields(line))-1]; !strings.Contains(files["inventory.json"], mac) {
		t.Errorf("MAC %s is called otherwise in the inventory:\n%s", mac, files["inventory.json"])
	}
}

// Without an agent and without programs there is less, and it is said what.
func TestBundleOfBareHost(t *testing.T) {
	o := planted(t)
	o.run = func(_ context.Context, name string, _ ...string) ([]byte, error) {
		return nil, errors.New(name + " is not installed")
	}
	files := bundleOf(t, o, fakeHost{err: agentapi.ErrNotRunning})
	for _, want := range []string{"status.json: vxland does not run\n", "nft/ruleset.txt: nft is not installed\n", "log.txt: journalctl is not installed\n"} {
		if !strings.Contains(files["MISSING"], want) {
			t.Errorf("MISSING lacks %q:\n%s", want, files["MISSING"])
		}
	}
	if files["inventory.json"] == "" || files["config.json"] == "" {
		t.Errorf("got only %v", files)
	}
}

func TestBundleFile(t *testing.T) {
	o := planted(t)
	o.file = filepath.Join(t.TempDir(), "b.tar.gz")
	cmd := &cobra.Command{}
	var out bytes.Buffer
	cmd.SetOut(&out)
	if err := o.write(t.Context(), cmd, fakeHost{}); err != nil || !strings.Contains(out.String(), "could not be collected whole: 1,") {
		t.Errorf("%v: %s", err, out.String())
	}
	for format, want := range map[string]string{"": o.file + ".q\n", "json": `{"schema":1,"file":"` + o.file + `.q","parts":`} {
		scripted := o
		scripted.file, scripted.Format, scripted.Quiet = o.file+".q", format, format == ""
		out.Reset()
		if err := scripted.write(t.Context(), cmd, fakeHost{}); err != nil || !strings.HasPrefix(out.String(), want) {
			t.Errorf("for scripts: %v: %s", err, out.String())
		}
		if err := os.Remove(scripted.file); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(o.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := o.write(t.Context(), cmd, fakeHost{}); err == nil || !strings.Contains(err.Error(), "exists; name another file with -o") {
		t.Errorf("written over: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.file += ".2"
	if err := o.write(ctx, cmd, fakeHost{}); err == nil {
		t.Error("an interrupted bundle is no error")
	}
	if _, err := os.Stat(o.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a bundle is left: %v", err)
	}
}
