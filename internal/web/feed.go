package web

import (
	"context"
	"sync"
	"time"
)

// feed reads the parts of the page while somebody looks on. Nobody who looks on can hold it up: it
// keeps only the latest state, which each fetches when there is time.
type feed struct {
	parts []*partReader

	mu       sync.Mutex
	viewers  int
	stop     context.CancelFunc // of the readers
	version  uint64             // of the latest section
	sections []renderedSection
	files    map[string]File
	changed  chan struct{} // is closed at the next change
}

// renderedSection is a section as HTML.
type renderedSection struct {
	ID, Title string
	HTML      string
	version   uint64
}

// partReader reads one part.
type partReader struct {
	Part
	reading sync.Mutex
	due     time.Time // of the next Read; guarded by the feed's mutex
}

func newFeed(parts []Part) *feed {
	f := &feed{files: make(map[string]File), changed: make(chan struct{})}
	for _, p := range parts {
		f.parts = append(f.parts, &partReader{Part: p})
		for _, s := range p.Sections {
			f.sections = append(f.sections, renderedSection{s.ID, s.Title, renderSection(s), 0})
		}
	}
	return f
}

// startReaders starts the readers for the first one who looks on. They end when the last one
// leaves.
func (f *feed) startReaders() (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.viewers++; f.viewers == 1 {
		ctx, stop := context.WithCancel(context.Background())
		f.stop = stop
		for _, p := range f.parts {
			go f.follow(ctx, p)
		}
	}
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.viewers--; f.viewers == 0 {
			f.stop()
		}
	})
}

// follow reads a part until ctx is done. A Read of the last time may still go on.
func (f *feed) follow(ctx context.Context, p *partReader) {
	p.reading.Lock()
	defer p.reading.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(f.dueTime(p))):
		}
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		content := p.Read()
		f.update(p, content, time.Now().Add(max(p.Every, time.Since(began))))
	}
}

func (f *feed) dueTime(p *partReader) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return p.due
}

// update takes what a part has read.
func (f *feed) update(p *partReader, content Content, due time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.due = due
	for _, s := range content.Sections {
		html := renderSection(s)
		for i := range f.sections {
			if old := &f.sections[i]; old.ID == s.ID && old.HTML != html {
				f.version++
				old.HTML, old.version = html, f.version
			}
		}
	}
	for _, file := range content.Files {
		f.files[file.Path] = file
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// sectionsSince returns the sections that are newer than a version, the version that follows, and
// what is closed when there is more.
func (f *feed) sectionsSince(version uint64) (newer []renderedSection, now uint64, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sections {
		if s.version > version {
			newer = append(newer, s)
		}
	}
	return newer, f.version, f.changed
}

// allSections returns the whole page.
func (f *feed) allSections() []renderedSection {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]renderedSection{}, f.sections...)
}

func (f *feed) file(path string) (File, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, ok := f.files[path]
	return file, ok
}

// awaitRead waits until no part is due to be read, or until ctx is done. Somebody must look on.
func (f *feed) awaitRead(ctx context.Context) {
	for {
		f.mu.Lock()
		changed, due := f.changed, false
		for _, p := range f.parts {
			due = due || !p.due.After(time.Now())
		}
		f.mu.Unlock()
		if !due {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
