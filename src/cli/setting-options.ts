import { Option } from 'commander';
import type { Command } from 'commander';
import { settings } from '../config/settings.ts';
import type { Mode, Setting, SettingKey } from '../config/settings.ts';
import type { Config } from '../config.ts';

/** Adds `--config` and a flag for each setting (or those in `only`), described from the one table. */
export function withSettings(command: Command, mode: Mode, only?: readonly SettingKey[]): Command {
  command.addOption(
    new Option(
      '--config <file>',
      'configuration file (POSTHORN_CONFIG, default posthorn.config.json if it is there)',
    ).helpGroup('Configuration:'),
  );
  for (const setting of settings) {
    if (only !== undefined && !only.includes(setting.key)) continue;
    command.addOption(new Option(syntax(setting), describe(setting, mode)).helpGroup(`${setting.group}:`));
  }
  return command;
}

/**
 * Reads the settings for a command that was given these options. Throws ConfigError.
 * @param only the settings that the command has, where another option of it has the name of one that it has not
 */
export async function configOf(
  mode: Mode,
  options: Readonly<Record<string, unknown>>,
  only?: readonly SettingKey[],
): Promise<Config> {
  const flags: Record<string, string | boolean> = {};
  for (const { key } of settings) {
    if (only !== undefined && !only.includes(key)) continue;
    const value = options[key];
    if (typeof value === 'string' || typeof value === 'boolean') flags[key] = value;
  }
  // Compiling wire formats takes 130 ms to load, which commands that only talk to a server need not pay.
  const { loadConfig } = await import('../config.ts');
  const file = typeof options.config === 'string' ? { file: options.config } : {};
  return loadConfig({ mode, flags, env: process.env, ...file });
}

function syntax({ flag, values }: Setting): string {
  return values === 'true|false' ? `${flag} [${values}]` : `${flag} <${values}>`;
}

function describe({ name, meaning, default: defaults }: Setting, mode: Mode): string {
  const fallback = defaults[mode] === '' ? '' : `, default ${defaults[mode]}`;
  // The meaning is written for docs/configuration.md, whose links start in that folder.
  const plain = meaning.replaceAll('`', '').replaceAll(/\[[^\]]*\]\(([^)]*)\)/g, 'docs/$1');
  return `${plain} (${name}${fallback})`;
}
