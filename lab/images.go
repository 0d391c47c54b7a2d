package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// importScript creates the images of a lab from a tar of a root directory. `podman run busybox`
// finds localhost/busybox without asking a registry: short names are looked up in local storage
// first.
const importScript = `
podman import -q -c 'CMD ["sh"]' /tmp/root.tar localhost/busybox:latest
podman import -q -c 'CMD ["busybox", "httpd", "-f", "-p", "80", "-h", "/www"]' -c 'EXPOSE 80' /tmp/root.tar localhost/web:latest
`

// buildImages creates the image store that all hosts of a tree share, with Podman in a lab with one
// host on that tree.
func buildImages(ctx context.Context, root, store string) (err error) {
	content, err := imageTar(ctx, root)
	if err != nil {
		return err
	}
	l, err := Start(ctx, Config{Tree: Tree{Root: root}, Hosts: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	host := l.Host("host-a")
	if err := host.WriteFile("/tmp/root.tar", content, 0o644); err != nil {
		return err
	}
	if _, err := host.Sh(ctx, importScript); err != nil {
		return err
	}
	if err := runLogged(ctx, []string{"cp", "-a", host.Path("/var/lib/containers/storage"), store}); err != nil {
		return err
	}
	// Rootless Podman cannot use a store of root's files. It imports the tar.
	if err := os.Chmod(store, 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(store, "root.tar"), content, 0o644)
}

// imageTar is the root directory of the images: a static busybox with its names, and a page for its
// web server.
func imageTar(ctx context.Context, root string) ([]byte, error) {
	busybox, path, err := staticBusybox(root)
	if err != nil {
		return nil, err
	}
	applets, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list applets of %s: %w", path, err)
	}
	var buffer bytes.Buffer
	w := imageWriter{tar.NewWriter(&buffer), nil}
	for _, dir := range []string{"bin", "etc", "root", "var", "www"} {
		w.addEntry(tar.Header{Name: dir + "/", Mode: 0o755, Typeflag: tar.TypeDir}, nil)
	}
	w.addEntry(tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}, nil)
	w.addEntry(tar.Header{Name: "bin/busybox", Mode: 0o755}, busybox)
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			w.addEntry(tar.Header{Name: "bin/" + applet, Mode: 0o777, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
		}
	}
	w.addEntry(tar.Header{Name: "etc/passwd", Mode: 0o644},
		[]byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	w.addEntry(tar.Header{Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\nnobody:x:65534:\n"))
	w.addEntry(tar.Header{Name: "www/index.html", Mode: 0o644}, []byte("<h1>It works</h1>\n"))
	return buffer.Bytes(), errors.Join(w.err, w.tar.Close())
}

// imageWriter writes a tar, and keeps the first error.
type imageWriter struct {
	tar *tar.Writer
	err error
}

func (w *imageWriter) addEntry(header tar.Header, content []byte) {
	header.Size = int64(len(content))
	header.ModTime = time.Unix(0, 0) // the same image from the same tree
	if w.err == nil {
		w.err = w.tar.WriteHeader(&header)
	}
	if w.err == nil {
		_, w.err = w.tar.Write(content)
	}
}

// staticBusybox finds a busybox in a tree that needs no library, which an image has none of.
func staticBusybox(root string) (content []byte, path string, err error) {
	for _, dir := range filepath.SplitList(searchPath) {
		path = filepath.Join(root, dir, "busybox")
		content, err = os.ReadFile(path)
		if err != nil {
			continue
		}
		file, err := elf.NewFile(bytes.NewReader(content))
		if err == nil && file.Section(".interp") == nil {
			return content, path, nil
		}
	}
	return nil, "", &MissingError{What: "a statically linked busybox in " + root + " (package busybox-static or busybox)"}
}
