package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/arch" // the formats register themselves
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// release is the number of the package among those of one version.
const release = "1"

const (
	summary     = "VXLAN networks for Podman containers on many hosts"
	description = `Containers on several hosts share one layer-2 network, and find each other by
name. The network is created by "podman network create --driver vxlan" on each
host. It needs no database and no orchestrator.

The package has the netavark plugin vxlan, the agent vxland, which the plugin
starts, and vxlanctl, the tool for the administrator.`
)

// licences are those of the driver and of all modules in its programs.
const licences = "Apache-2.0 AND BSD-3-Clause AND MIT AND MPL-2.0"

// relations are what a format says about other packages.
type relations struct{ depends, recommends []string }

var relationsOf = map[string]relations{
	"deb":       {[]string{"netavark (>= 1.6)", "nftables"}, []string{"podman (>= 4.5)"}},
	"rpm":       {[]string{"netavark >= 1.6", "nftables"}, []string{"podman >= 4.5"}},
	"archlinux": {[]string{"netavark>=1.6", "nftables"}, nil},
}

func (b build) writePackage(format, arch string) error {
	stage, err := os.MkdirTemp("", "vxlan-driver-package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	info, err := b.describePackage(stage, format, arch)
	if err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := packager.Package(info, &file); err != nil {
		return err
	}
	data := file.Bytes()
	if format == "rpm" {
		if data, err = withRelativeNames(data); err != nil {
			return fmt.Errorf("make names of the rpm relative: %w", err)
		}
	}
	return os.WriteFile(filepath.Join(b.out, packager.ConventionalFileName(info)), data, 0o644)
}

// stageFiles puts the files into a directory as they are on a host.
func (b build) stageFiles(stage, format, arch string) error {
	install := exec.Command(filepath.Join(b.root, "packaging/install.sh"), "install")
	install.Env = append(os.Environ(), "PREFIX=/usr", "DESTDIR="+stage, "TAKER="+format,
		"PROGRAMS="+filepath.Join(b.programs, arch))
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// describePackage describes a package, whose files it puts below a directory.
func (b build) describePackage(dir, format, arch string) (*nfpm.Info, error) {
	stage, changelog := filepath.Join(dir, "stage"), filepath.Join(dir, "changelog.yaml")
	if err := errors.Join(b.stageFiles(stage, format, arch), b.writeChangelog(changelog)); err != nil {
		return nil, err
	}
	contents, err := b.listContents(stage, format)
	if err != nil {
		return nil, err
	}
	script := func(name string) string { return filepath.Join(b.root, "packaging/scripts", name) }
	info := &nfpm.Info{
		Name: packageName, Arch: arch, Version: b.version, VersionSchema: "none", Release: release,
		Section: "net", Priority: "optional", Maintainer: maintainer, Description: summary + "\n" + description,
		License: licences, Changelog: changelog, MTime: b.date, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Depends: relationsOf[format].depends, Recommends: relationsOf[format].recommends, Contents: contents,
			Scripts: nfpm.Scripts{PostInstall: script("postinstall.sh"), PreRemove: script("preremove.sh"),
				PostRemove: script("postremove.sh")},
			// The name of the machine that built it would differ.
			RPM: nfpm.RPM{BuildHost: "localhost", Group: "System Environment/Daemons", Summary: summary, Compression: "zstd"},
			// Debian before 12 cannot read zstd.
			Deb: nfpm.Deb{Compression: "xz"},
			ArchLinux: nfpm.ArchLinux{Packager: maintainer,
				Scripts: nfpm.ArchLinuxScripts{PostUpgrade: script("postinstall.sh")}},
		},
	}
	switch format { // only dpkg's begins with the summary
	case "rpm":
		info.Description = description
	case "archlinux":
		info.Description = summary
	}
	return nfpm.WithDefaults(info), nil
}

// systemDirs are directories that every system has, besides those of manual pages. Packages own all
// other directories on the way to their files, together with others.
var systemDirs = []string{
	"", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/systemd", "/usr/lib/systemd/system", "/usr/libexec",
	"/usr/share", "/usr/share/doc", "/usr/share/licenses", "/usr/share/man",
}

// listContents lists the files in a directory.
func (b build) listContents(stage, format string) (contents files.Contents, err error) {
	err = filepath.WalkDir(stage, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := strings.TrimPrefix(path, stage)
		if entry.IsDir() && (slices.Contains(systemDirs, to) || filepath.Dir(to) == "/usr/share/man") {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		c := &files.Content{Source: path, Destination: to, Type: fileType(to, format),
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: info.Mode().Perm(), MTime: b.date,
				Size: info.Size()}}
		if entry.IsDir() {
			c.Source, c.Type, c.FileInfo.Size = "", files.TypeDir, 0
		}
		contents = append(contents, c)
		return nil
	})
	return contents, err
}

// fileType says what a package manager should know of a file. Files below /etc are the
// administrator's to change.
func fileType(path, format string) string {
	switch {
	case strings.HasPrefix(path, "/etc/"):
		return files.TypeConfigNoReplace
	case format == "rpm" && (strings.HasPrefix(path, "/usr/share/doc/") || strings.HasPrefix(path, "/usr/share/man/")):
		return files.TypeRPMDoc
	case format == "rpm" && strings.HasPrefix(path, "/usr/share/licenses/"):
		return files.TypeRPMLicense
	}
	return files.TypeFile
}
