package node

import (
	"bytes"
	"context"
	"log/slog"
)

// logLines turns the lines that raft and memberlist write ("[WARN]  raft: …")
// into log events. They narrate every step and retry, so each is one level
// quieter here: what an operator must know, the node says itself.
type logLines struct{ log *slog.Logger }

func (l logLines) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, line
	if open, end := bytes.IndexByte(line, '['), bytes.IndexByte(line, ']'); open >= 0 && end > open {
		switch string(line[open+1 : end]) {
		case "ERR", "ERROR":
			level = slog.LevelInfo
		}
		text = line[end+1:]
	}
	l.log.Log(context.Background(), level, string(bytes.TrimSpace(text)))
	return len(line), nil
}
