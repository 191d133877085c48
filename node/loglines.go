package node

import (
	"bytes"
	"context"
	"log/slog"
)

// logLines turns the lines that raft and memberlist write ("[WARN]  raft: …")
// into log events. They narrate every step and retry, so each is one level
// quieter here: what an operator must know, the node says itself.
type logLines struct {
	log  *slog.Logger
	said *failures // what was said lately; nil says everything
}

func (l logLines) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, line
	if open, end := bytes.IndexByte(line, '['), bytes.IndexByte(line, ']'); open >= 0 && end > open {
		switch string(line[open+1 : end]) {
		case "ERR", "ERROR":
			level = slog.LevelInfo
		}
		text = line[end+1:]
	}
	text = bytes.TrimSpace(text)
	if level == slog.LevelInfo && l.said != nil && !l.said.first(gist(text)) {
		level = slog.LevelDebug // it is tried again many times a second
	}
	l.log.Log(context.Background(), level, string(text))
	return len(line), nil
}

// gist is a line without what differs from one try to the next.
func gist(line []byte) string {
	for _, detail := range []string{" backoff time=", " error=", " from="} {
		line, _, _ = bytes.Cut(line, []byte(detail))
	}
	return string(line)
}
