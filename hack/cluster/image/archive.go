// Package image makes container images of a single program without any other
// tool, and loads images into the nodes of an instance.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// WriteArchive writes an archive, as "docker save" does, of an image that holds
// one static program and runs it as an unprivileged user.
func WriteArchive(path, name, program string) error {
	layer, err := programLayer(program)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/" + filepath.Base(program)}, "User": "65532:65532"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest[:])}},
	})
	if err != nil {
		return fmt.Errorf("encoding the image's configuration: %w", err)
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return fmt.Errorf("encoding the image's manifest: %w", err)
	}
	archive, err := tarFile([]entry{{"config.json", 0o644, config}, {"layer.tar", 0o644, layer}, {"manifest.json", 0o644, manifest}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, archive, 0o644); err != nil {
		return fmt.Errorf("writing the image %s: %w", name, err)
	}
	return nil
}

func programLayer(program string) ([]byte, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("reading the image's program: %w", err)
	}
	return tarFile([]entry{{filepath.Base(program), 0o755, data}})
}

type entry struct {
	name string
	mode int64
	data []byte
}

func tarFile(entries []entry) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", e.name, err)
		}
		if _, err := writer.Write(e.data); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", e.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("closing an archive: %w", err)
	}
	return buffer.Bytes(), nil
}
