package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockTimeout is far longer than the queue of a host that starts all its containers at once (1,000
// at 10 ms). Podman waits for the plugin without a limit of its own, and must not hang for good.
const lockTimeout = time.Minute

// interruptedTimeout is how long a program waits that has been told to end: others hold the lock
// for milliseconds, and it must not outlive its supervisor's patience.
const interruptedTimeout = 500 * time.Millisecond

// errInterrupted says that the program was told to end while it waited.
var errInterrupted = errors.New("the wait was interrupted, as the program is to end")

// waitLimit is how long to wait for a lock.
type waitLimit struct {
	timeout   time.Duration
	interrupt <-chan struct{} // ends the wait; nil: never
}

// forProgram returns the limit that holds for this program.
func (l waitLimit) forProgram() waitLimit {
	select {
	case <-l.interrupt:
		return waitLimit{timeout: interruptedTimeout} // it does the last that it has to do
	default:
		return l
	}
}

// flock locks a file. It returns the file that is locked, which may be another one that is open on
// the same inode, and closes f if it returns an error.
func flock(f *os.File, limit waitLimit) (*os.File, error) {
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return f, nil
	}
	caller, key, err := waitingLocks.enqueue(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	limit = limit.forProgram()
	timer := time.NewTimer(limit.timeout)
	defer timer.Stop()
	select {
	case got := <-caller.result:
		return got.file, got.err
	case <-limit.interrupt:
		err = errInterrupted
	case <-timer.C:
		err = fmt.Errorf("another vxlan process has held it for %v; see `fuser %s`", limit.timeout, f.Name())
	}
	if !waitingLocks.giveUp(key, caller) { // it was locked at the same moment
		got := <-caller.result
		return got.file, got.err
	}
	return nil, err
}

// waitingLocks are the locks that this process waits for.
var waitingLocks = lockQueues{byInode: make(map[inode]*lockQueue)}

// lockQueues are queues of callers, one for each file. flock(2) takes no limit, and nothing but the
// lock ends it. So a goroutine waits in its stead, with a thread of its own. Callers that give up
// leave it there for the next one. So a holder that is stuck costs one thread, however often
// somebody tries.
type lockQueues struct {
	mu      sync.Mutex
	byInode map[inode]*lockQueue
}

type inode struct{ dev, number uint64 }

// lockQueue is the callers that wait for a file, in their order, and the goroutine's open file.
type lockQueue struct {
	waiting *os.File
	callers []*lockCaller
}

type lockCaller struct {
	file   *os.File
	result chan lockResult // with room for one
}

// lockResult is the file that is locked, or an error.
type lockResult struct {
	file *os.File
	err  error
}

func (q *lockQueues) enqueue(f *os.File) (*lockCaller, inode, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, inode{}, err
	}
	st := info.Sys().(*syscall.Stat_t) // as on all of Linux
	key, caller := inode{st.Dev, st.Ino}, &lockCaller{f, make(chan lockResult, 1)}
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.byInode[key]
	if queue == nil {
		queue = &lockQueue{waiting: f}
		q.byInode[key] = queue
		go q.wait(key, queue)
	}
	queue.callers = append(queue.callers, caller)
	return caller, key, nil
}

// giveUp takes a caller out of its queue. It fails if the caller has its result already.
func (q *lockQueues) giveUp(key inode, caller *lockCaller) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.byInode[key]
	if queue == nil {
		return false
	}
	i := slices.Index(queue.callers, caller)
	if i < 0 {
		return false
	}
	queue.callers = slices.Delete(queue.callers, i, i+1)
	if caller.file != queue.waiting {
		_ = caller.file.Close() // nothing was written to it
	}
	return true
}

// wait waits for the lock until no caller is left, and hands it to one after the other.
func (q *lockQueues) wait(key inode, queue *lockQueue) {
	for {
		err := flockBlocking(queue.waiting)
		q.mu.Lock()
		next := q.handOver(queue, err)
		if !next {
			delete(q.byInode, key)
		}
		q.mu.Unlock()
		if !next {
			return
		}
	}
}

// handOver gives the locked file to the first caller, and tells whether another one waits.
func (q *lockQueues) handOver(queue *lockQueue, err error) (next bool) {
	locked := queue.waiting
	if len(queue.callers) == 0 {
		_ = locked.Close() // which unlocks it
		return false
	}
	first := queue.callers[0]
	queue.callers = queue.callers[1:]
	if first.file != locked {
		_ = first.file.Close() // nothing was written to it
	}
	if err != nil {
		_ = locked.Close()
		locked = nil
	}
	first.result <- lockResult{locked, err}
	if len(queue.callers) == 0 {
		return false
	}
	queue.waiting = queue.callers[0].file
	return true
}

func flockBlocking(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
