package peer

import (
	"fmt"

	"github.com/go-logr/logr"
	"github.com/pion/logging"
)

// pionLogs passes what pion's packages warn of to V(1); what they tell besides is dropped unread.
type pionLogs struct {
	logger logr.Logger
}

// NewLogger returns the logger of one of pion's parts.
func (l pionLogs) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{l.logger.V(1).WithValues("part", scope)}
}

type pionLogger struct {
	logger logr.Logger
}

func (l pionLogger) warn(text string) {
	l.logger.Info("WebRTC library warns", "text", text)
}

func (l pionLogger) Trace(string)          {}
func (l pionLogger) Tracef(string, ...any) {}
func (l pionLogger) Debug(string)          {}
func (l pionLogger) Debugf(string, ...any) {}
func (l pionLogger) Info(string)           {}
func (l pionLogger) Infof(string, ...any)  {}
func (l pionLogger) Warn(text string)      { l.warn(text) }
func (l pionLogger) Error(text string)     { l.warn(text) }

func (l pionLogger) Warnf(format string, args ...any) {
	if l.logger.Enabled() {
		l.warn(fmt.Sprintf(format, args...))
	}
}

func (l pionLogger) Errorf(format string, args ...any) { l.Warnf(format, args...) }
