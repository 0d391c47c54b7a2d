package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Part is a file of the archive.
type Part struct {
	Name    string // such as ip/link.txt
	Collect func(context.Context) ([]byte, error)
}

// missingFile says which parts could not be collected whole, and why.
const missingFile = "MISSING"

// root is the directory in the archive that has all files.
const root = "vxlan-bundle/"

// partTimeout is longer than doctor takes to ask other hosts.
const partTimeout = 90 * time.Second

// Write collects the parts and writes them as a compressed tar archive. Each text passes through
// filter. What a part has before an error is kept. Missing are the parts with an error.
func Write(
	ctx context.Context, out io.Writer, date time.Time, parts []Part, filter func(string) string,
) (missing []string, err error) {
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)
	add := func(name, text string) error {
		text = filter(text)
		header := &tar.Header{Name: root + name, Mode: 0o600, Size: int64(len(text)), ModTime: date, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.WriteString(archive, text)
		return err
	}
	var reasons strings.Builder
	for _, p := range parts {
		text, partErr := collect(ctx, p)
		if partErr != nil {
			missing = append(missing, p.Name)
			fmt.Fprintf(&reasons, "%s: %v\n", p.Name, partErr)
		}
		if len(text) == 0 && partErr != nil {
			continue
		}
		if err := add(p.Name, string(text)); err != nil {
			return missing, err
		}
	}
	if reasons.Len() > 0 {
		if err := add(missingFile, reasons.String()); err != nil {
			return missing, err
		}
	}
	if err := archive.Close(); err != nil {
		return missing, err
	}
	return missing, zipped.Close()
}

func collect(ctx context.Context, p Part) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	return p.Collect(ctx)
}
