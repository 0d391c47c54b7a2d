// Package detach starts programs that outlive the one that starts them.
package detach
