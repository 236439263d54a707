import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { ended, startScript } from './run-command.ts';
import type { Ended } from './run-command.ts';

let child: ChildProcessWithoutNullStreams;
afterEach(() => void child.kill('SIGKILL'));

function start(behaviour: string): Promise<Ended> {
  child = startScript('test/cli/signalled-server.ts', [behaviour], { cwd: import.meta.dirname });
  return ended(child);
}

/** Resolves when the process has written this text. */
function said(stream: 'stdout' | 'stderr', text: string): Promise<void> {
  return new Promise((resolve) => {
    let seen = '';
    child[stream].on('data', (data: string) => {
      seen += data;
      if (seen.includes(text)) resolve();
    });
  });
}

describe('a running server', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('drains at %s and ends with 0', async (signal) => {
    const end = start('');
    await said('stdout', 'started');
    child.kill(signal);
    expect(await end).toEqual({ code: 0, stdout: 'started\nstopping\nstopped\n', stderr: 'Draining…\n' });
  });

  test('ends at once with 130 at a second signal', async () => {
    const end = start('never-stops');
    await said('stdout', 'started');
    child.kill('SIGTERM');
    await said('stdout', 'stopping');
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // sooner it would be the same one
    child.kill('SIGINT');
    expect(await end).toEqual({ code: 130, stdout: 'started\nstopping\n', stderr: 'Draining…\n' });
  });

  test('takes the signals of one stop for one, by however many ways they come', async () => {
    const end = start('stops-slowly'); // the last signal must not meet a process that has ended

    await said('stdout', 'started');
    child.kill('SIGTERM');
    child.kill('SIGINT');
    await said('stdout', 'stopping');
    child.kill('SIGTERM');
    expect(await end).toEqual({ code: 0, stdout: 'started\nstopping\nstopped\n', stderr: 'Draining…\n' });
  });

  test('is stopped where a signal comes before it has started', async () => {
    const end = start('never-starts');
    await said('stdout', 'starting');
    child.kill('SIGINT');
    expect(await end).toEqual({ code: 0, stdout: 'starting\nstopping\nstopped\n', stderr: 'Draining…\n' });
  });

  test('is cleaned up where it fails to start, and the reason is passed on', async () => {
    expect(await start('fails')).toEqual({ code: 1, stdout: 'stopping\nstopped\ncannot start\n', stderr: '' });
  });
});
