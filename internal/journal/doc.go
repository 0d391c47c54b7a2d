// Package journal writes the log to systemd's journal, with fields that can be searched.
package journal
