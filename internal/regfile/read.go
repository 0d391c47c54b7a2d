package regfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const (
	maxText  = 1 << 20  // more than anybody types
	maxState = 64 << 20 // more than a program keeps of a network of a thousand hosts in one file
)

// ErrNotRegular says that something else than a regular file has the name.
var ErrNotRegular = errors.New("it must be a regular file")

// ReadText returns what people have written into a file, or what a program has in their place.
func ReadText(path string) ([]byte, error) { return Read(path, maxText) }

// ReadState returns what a program keeps in a file.
func ReadState(path string) ([]byte, error) { return Read(path, maxState) }

// Read returns what a regular file has. More than limit bytes are an error.
func Read(path string, limit int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The size of a file below /proc or /sys says nothing.
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes", limit)}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Tail returns the last bytes of a regular file, at most as many as length.
func Tail(path string, length int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > length {
		_, err = f.Seek(-length, io.SeekEnd)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, length))
}

// open opens a regular file. Nothing else is opened if it can be helped: a pipe would wait for a
// writer, and some devices act when they are opened. Somebody may replace the file meanwhile, so
// that it is looked at twice.
func open(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, refuse(path, info.Mode())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = refuse(path, info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func refuse(path string, mode fs.FileMode) error {
	kind := "a device"
	switch {
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w, and it is %s", ErrNotRegular, kind)}
}
