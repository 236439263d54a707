import { Command } from 'commander';
import { version } from '../version.ts';
import { addDeliveries } from './deliveries.ts';
import { addDev } from './dev.ts';
import { addEvents } from './events.ts';
import { addImport } from './import.ts';
import { addIngest } from './ingest.ts';
import { addKeys } from './keys.ts';
import { addMigrate } from './migrate.ts';
import { addMove } from './move.ts';
import { addServe } from './serve.ts';
import { addWebhooks } from './webhooks.ts';

/** Tells how the command ended, where that is not simply "it worked". */
export type SetExitCode = (code: number) => void;

/** The whole command line, not yet run. It throws a CommanderError instead of ending the process. */
export function createProgram(setExitCode: SetExitCode): Command {
  const program = new Command('posthorn')
    .description('Sends webhooks and loses none.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'posthorn: ')) })
    .configureHelp({ styleTitle: (title) => title, sortOptions: false });

  program.commandsGroup('Run the server:');
  addDev(program, setExitCode);
  addServe(program, setExitCode);
  addMigrate(program);
  addMove(program);
  program.commandsGroup('Use a running server:');
  addEvents(program);
  addDeliveries(program, setExitCode);
  addWebhooks(program);
  addKeys(program);
  addImport(program, setExitCode);
  addIngest(program, setExitCode);

  program.commandsGroup('More:').helpCommand('help [command]', 'show the help of a command');

  nameOwnHelp(program, 'posthorn');
  return program.addHelpText(
    'after',
    `
Examples:
  posthorn dev
  posthorn events send order.paid --data '{"total":1050}'
  posthorn deliveries list --status dead_letter
  posthorn deliveries --help`,
  );
}

/** What is written wrongly is looked up in the help of that very command. */
function nameOwnHelp(command: Command, path: string): void {
  command.showHelpAfterError(`See \`${path} --help\`.`);
  for (const sub of command.commands) nameOwnHelp(sub, `${path} ${sub.name()}`);
}
