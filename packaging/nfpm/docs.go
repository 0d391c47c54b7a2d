package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maintainer is whom a package names. The formats want an address, and the project has none: it is
// one that cannot exist (RFC 2606).
const maintainer = "The authors of vxlan-driver <vxlan-driver@packages.invalid>"

// writeDocs writes what is generated for packages into bin/share, where the list of files has it.
func (b build) writeDocs(modules []module) error {
	return writeZipped(filepath.Join(b.root, "bin/share/doc/THIRD-PARTY-LICENSES.gz"), func(w io.Writer) error {
		return writeLicences(w, b.root, modules)
	})
}

// writeChangelog writes the package manager's change log, in the form that nfpm reads.
func (b build) writeChangelog(path string) error {
	text := fmt.Sprintf("- semver: %s-%s\n  date: %s\n  packager: %s\n"+
		"  deb: {urgency: medium, distributions: [unstable]}\n"+
		"  changes:\n    - note: CHANGELOG.md in the source says what has changed.\n",
		b.version, release, b.date.Format(time.RFC3339), maintainer)
	return os.WriteFile(path, []byte(text), 0o644)
}

// writeZipped writes a file that is compressed, without a name and a time in it.
func writeZipped(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	zipped, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := write(zipped); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := zipped.Close(); err != nil {
		return err
	}
	return file.Close()
}
