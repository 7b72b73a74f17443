"""Whether a name of letters alone may be a person's. No list of first and last names is long enough for all languages;
a list of the words that folders and files of this field are called by nearly is, and what is not on it may be a person.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from secondread.discreet import HIDDEN, stand_in
from secondread.index.names import is_contrast_word, is_normal, patient_of, split_of, squeeze, stem_of

PLAIN_WORDS = frozenset(
    """
    sub subj subject subjects patient patients patienten pt case cases control controls cohort person id volunteer
    group groups study studies session sessions ses visit visits baseline followup follow up timepoint series exam
    site center centre hospital clinic clinical scanner vendor siemens philips hitachi toshiba strength tesla anat
    func fmap dwi perf data dataset datasets database archive collection repository download downloads upload uploads
    backup copy copies export exports import folder folders subfolder directory dir file files documents desktop temp
    tmp misc other others unknown unnamed untitled unlabeled unlabelled undefined none all both mixed various part
    parts batch batches fold folds set sets subset list table output outputs input inputs result results findings
    derivatives derived source sourcedata rawdata raw native original originals orig processed preprocessed
    unprocessed final draft first second third last next previous left right anterior posterior superior inferior
    lateral medial the of and with without no non not in on from for to by per vs my image images img imgs picture
    pictures photo photos screenshot bilder aufnahmen volume volumes vol scan scans slice slices frames video dicom
    dicoms dcm nifti niftis nii nrrd mha mhd png jpg jpeg jpegs tif tiff bmp gif pixel pixels voxel voxels grey
    grayscale greyscale colour color rgb binary resolution lowres highres res mr mri mris fmri ct xray xrays
    radiograph radiographs ultrasound mammogram mammography pet spect angio angiography mra mrs mrv tof dti dsc dce
    asl bold swan gre tse fse spgr fspgr mprage mp rage flash space vibe haste epi stir propeller localizer localiser
    scout survey sequence sequences protocol acquisition acq run task weighted contrast contrasts enhanced unenhanced
    enhancing nonenhancing gadolinium gad gd ce post pre fat water suppressed sat saturated phase magnitude perfusion
    diffusion spectroscopy trace adc swi isotropic thick thin ax axi axial axials cor coronal coronals sag sagittal
    sagittals tra transversal transverse oblique plane planes view views orientation lps ras head heads brain brains
    cerebral cerebrum cerebellum cerebellar brainstem skull scalp neck spine spinal cervical thoracic lumbar pituitary
    sellar suprasellar parasellar frontal temporal parietal occipital insular insula thalamus thalamic hippocampus
    hippocampal amygdala ventricle ventricles ventricular cortex cortical subcortical callosum corpus pineal midbrain
    medulla orbit orbital sinus meninges meningeal dura dural cranial intracranial extracranial intraaxial extraaxial
    infratentorial supratentorial convexity falx clivus hemisphere hemispheres lobe nerve optic vestibular acoustic
    vascular vessel vessels artery vein knee shoulder hip pelvis abdomen chest thorax lung lungs cardiac liver kidney
    prostate breast ankle wrist elbow teeth tumor tumors tumour tumours tumoral lesion lesions lesional mass masses
    cancer cancers cancerous neoplasm neoplasms glioma gliomas glioblastoma glioblastomas gbm hgg lgg gli astrocytoma
    oligodendroglioma ependymoma medulloblastoma meningioma meningiomas men schwannoma neurinoma neuroma chordoma
    craniopharyngioma adenoma adenomas macroadenoma microadenoma germinoma lymphoma lymphomas metastasis metastases
    metastatic mets met carcinoma melanoma sarcoma lipoma hamartoma teratoma papilloma hemangioma haemangioma
    hemangioblastoma cavernoma neurocytoma ganglioglioma cyst cysts cystic colloid arachnoid epidermoid dermoid
    abscess abscesses edema oedema necrosis necrotic gliosis haemorrhage hemorrhage haemorrhagic hemorrhagic bleeding
    hematoma haematoma stroke strokes infarct infarcts infarction ischemia ischaemia ischemic ischaemic aneurysm
    aneurysms thrombosis stenosis atrophy atrophic sclerosis multiple ms demyelination leukoaraiosis hydrocephalus
    encephalitis meningitis vasculitis neuritis tuberculosis toxoplasmosis infection inflammation inflammatory trauma
    traumatic injury tbi fracture fractures epilepsy epileptic seizure dementia demented nondemented alzheimer
    alzheimers parkinson parkinsons mci ad autism schizophrenia depression migraine disease diseases diseased disorder
    pathology pathologies pathologic pathological abnormal abnormality abnormalities anomaly anomalies anomalous
    abnorm normal healthy unhealthy gesund befund sick ill benign malignant malign aggressive grade grades mild
    moderate severe very late advanced stage stages type types subtype class classes category categories label labels
    labelled labeled annotation annotations annotated segmentation segmentations segmented mask masks masked outline
    outlines contour contours roi rois truth ground positive positives negative negatives presence present absent
    resected resection unresected operated unoperated postop preop op operative postoperative preoperative surgery
    surgical biopsy biopsied craniotomy treated untreated treatment therapy chemo chemotherapy radiation radiotherapy
    irradiated recurrence recurrent residual progression progressive pseudoprogression response responder responders
    nonresponder survivor survivors deceased alive survival followed incidental screening primary secondary solitary
    confirmed suspected proven diagnosis diagnosed referred consented adult adults children pediatric paediatric
    infant infants neonatal neonate fetal foetal elderly male males female females women train trainset testset
    holdout external internal public private anonymized anonymised deidentified synthetic simulated simulation
    generated phantom phantoms atlas template templates mni talairach standard skullstripped stripped skullstrip strip
    bet registered registration coregistered aligned alignment rigid affine warped normalized normalised normalization
    resampled resized cropped crop padded rotated flipped mirrored rescaled scaled augmented augmentation compressed
    denoised filtered corrected correction uncorrected bias smoothed interpolated reoriented converted extracted
    merged combined split sorted unsorted selected excluded included rejected accepted checked unchecked reviewed
    verified broken damaged corrupt corrupted truncated incomplete complete empty missing bad invalid valid wrong
    unreadable artifact artifacts artefact artefacts motion noise noisy ghost ghosting blurred blurry duplicate
    duplicates near twin twins quality kaggle figshare tcia tcga brats ixi oasis adni openneuro bids upenn ucsf
    rembrandt zenodo isles hcp abide fastmri cat cats dog dogs kitten kittens puppy puppies animal animals horse
    horses demo example examples sample samples test tests toy dummy darker brighter seg segs gt anaplastic star
    schwannomas map maps who starter curve neurinomas cavernomas lipomas matter lowgrade highgrade diffuse bed free
    stereotactic fossa sinusitis mastoiditis otitis arthritis cerebellopontine angle skyra aera avanto trio prisma
    verio espree magnetom discovery signa optima architect ingenia achieva intera vantage ge gradient echo echoes
    echos turbo spin inversion recovery fast ultrafast cube bravo fiesta ciss lava whole quick poor double single
    triple twice read reader readers reading reads consensus radiologist radiologists expert experts rater raters
    annotator annotators observer technician nurse doctor physician heatmap heatmaps saliency overlay overlays
    checkpoint checkpoints log logs model models weights prediction predictions predicted score scores metric metrics
    feature features embedding embeddings config configs script scripts code notebook notebooks report reports readme
    docs volunteers pilot prospective retrospective multicenter multicentre singlecenter longitudinal crosssectional
    thumbnail thumbnails preview previews pngs jpgs gz zip tar two three four five six seven eight nine ten ii iii iv
    vi vii viii idh mutant mutated mutation wildtype wt methylated unmethylated mgmt codeleted egfr braf tert
    molecular genetic histology histological histo pathologist immuno marker markers question questions pending todo
    done doing ready active inactive archived newest latest current former fake false yes maybe unsure uncertain sure
    certain definite probable possible likely unlikely typical atypical common uncommon classic classical specific
    unspecific nonspecific random shuffled seeded seed fixed dynamic moving still live offline online local remote
    server client usb cd dvd pacs ris worklist inbox outbox incoming outgoing received sent queue failed success
    successful error errors warning warnings skipped ignored deleted removed trash recycle hidden visible shared tiny
    huge giant medium average mean median minimum maximum total sum bottom upper lower inner outer middle central
    peripheral edge edges border borders corner background foreground signal signals intensity intense hyperintense
    hypointense isointense heterogeneous homogeneous calcified calcification calcifications nodular nodule nodules
    polyp multifocal focal unifocal bilateral unilateral ipsilateral contralateral midline shift effect invasion
    invasive infiltrating infiltrative spread leptomeningeal pachymeningeal dissemination disseminated nasal ears eyes
    facial defaced throat larynx thyroid parotid lymph lymphoid node nodes bones marrow muscles tendon ligament
    cartilage meniscus disc discs nerves tract tracts fiber fibers fibre fibres tractography connectome network
    networks module modules parcellation parcellated region regions area areas zone zones territory territories
    capsule putamen caudate striatum basal ganglia nucleus nuclei hypothalamus substantia nigra tectum tectal vermis
    peduncle peduncles fornix cingulate gyrus gyri sulcus sulci fissure sylvian rolandic operculum precuneus cuneus
    chiasm infundibulum cavernous carotid basilar vertebral communicating migraines headache headaches dizziness
    vertigo tinnitus syncope coma concussion contusion ischaemias leukemia leukodystrophy leukoencephalopathy
    encephalopathy neuropathy myelopathy demyelinating degenerative degeneration neurodegeneration neurodegenerative
    neurology neurological neurosurgery neurosurgical oncology oncological radiology outpatient inpatient emergency
    icu routine elective urgent acute subacute chronic hyperacute congenital acquired hereditary familial idiopathic
    lethal fatal dead died censored event events time times hour hours minute minutes dose doses drug drugs placebo
    arms steroid steroids bevacizumab temozolomide cycle cycles aged age ages sex gender woman boys girl girls baby
    babies newborn newborns preterm student students teacher teachers labs laboratory university institute department
    project projects article publication thesis lecture lectures exercise exercises homework solution solutions
    tutorial competition challenge leaderboard submission submissions benchmark benchmarks baselines extra spare
    reserve unused used reused useless useful interesting difficult easy simple complex tricky round oval rectangle
    text letters numbers digits stripe stripes checkerboard constant uniform gaussian poisson speckle blurring
    aliasing wraparound ringing zipper susceptibility metal implant implants shunt catheter clip clips coil coils
    electrode electrodes stent hardware reconstructed reconstruction recon undersampled kspace parametric quantitative
    relaxometry mapping mtr qsm svr superresolution upsampled downsampled oversampled sampled hd sd uhd lowdose
    highdose midsagittal parasagittal coronar transaxial lateralized lefthanded righthanded handedness numpy npy npz
    csv tsv json xml yaml txt pdf doc html parquet hdf zarr mat pkl windows linux user users srv mnt var opt lib etc
    scratch workspace workdir newdata alldata mydata wholebrain wholetumor enhancingtumor tumorcore se screenshots
    extent gross subtotal stp apoplexy cleft sella arteriovenous plaque lacunar tumefactive ventriculomegaly
    freesurfer fsl spm ants reg nnunet monai cache tr ts weak pseudo outlier outliers needs needed review enough
    unusable usable upside down partial coverage snr fov spike spikes wrap around over under diagnostic opinion board
    inhouse partner partners mobile portable ultra before after during months years weeks days effects spectro zero
    tissue tissues campus tail inverted aborted interrupted quarantine cleaned clean dirty tidy torn cut garbage junk
    foo bar baz qux lorem hello world thing things stuff whatever something anything nothing alpha beta gamma delta
    epsilon nan nans inf infinite pickle bomb crash tampered mangled spoiled spoilt faulty defect defective unopened
    unfinished flat slab sliver wide narrow gone lost found again another same equal here there where what which this
    that these those it is are was see look note notes linked loose plain clear opaque odd strange weird funny kept
    keep moved renamed ok okay nonsense dense sparse one hold zeros ones dot dots print prints printed palette bit
    made capture captures contact curves readings miccai rsna asnr isbi midl isic isles lumiere kits acdc picai fets
    wmh mrbrains decathlon nlst cptac pdgm
    """.split()  # noqa: SIM905
)
"""Words of the trade that folders and files are named with; no patient is called so, or hardly one."""

DESCRIBING = frozenset(
    """
    black white blue green red brown old young new good best worst large larger small little big long short full half
    rare deep sharp core ring rim north south east west day week month year may summer winter man field hand foot
    heart child high low early stack frame rest bright dark blank pons stable pool root real solid hard true top
    circle course home work drive salt pepper special face tongue tooth nose ear eye arm lip pioneer titan fair line
    max min ward cloud gray pat bone
    """.split()  # noqa: SIM905
)
"""Words that say something beside one of the trade (``white matter``, ``young controls``), and by themselves are
surnames."""

_OF_THE_TRADE = re.compile(
    r"(?:[a-z]{3,}(?:ated|ected|ized|ised|ation|ations|ction|ctions|ology|ography|opathy|ectomy|otomy|itive|ative)"
    r"|[a-z]{2,}(?:cytoma|blastoma|carcinoma|sarcoma|adenoma|glioma|lymphoma|angioma|schwannoma)s?)"
)
"""Endings that words of the trade have, and surnames of hardly any language."""

_BEFORE = re.compile(r"(?:pre|post|non|un|re|sub|multi|inter|intra|extra|peri|semi|micro|macro)(?=[a-z]{4})")

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

MIN_SPOKEN = 3
"""Letters of a word that counts as a name where a number stands beside it: shorter ones are codes of sites."""

_NUMBERED = re.compile(r" \(\d+\)$")
"""What ``gather`` adds to a name that two studies would share."""

_YEAR = re.compile(r"(?<!\d)(?:19\d\d|20[0-2]\d)(?!\d)")

_VOWEL = re.compile(r"[aeiouyäöüåøæáàâãéèêëíìîïóòôõúùûý]|[^\x00-\x7f]", re.IGNORECASE)


def may_name_patient(name: str, told: Collection[str] = ()) -> bool:
    """Whether one part of a path may be a person's name: letters alone, and neither one of the names ``told`` to be
    none (of labels and sites, squeezed), nor a split's, a normal class's, one letter, or made of words of the trade and
    contrasts.

    With a number in it, it takes two such words, and no known naming scheme: ``john_smith_2`` may be a person,
    ``cat_2`` and ``BraTS-GLI-00001`` are not taken for any. A year is no such number, but goes well with a person:
    beside it (``Doe_J_1961``) one word that can be spoken is enough.
    """
    bare = squeeze(name)
    if name.startswith(HIDDEN) or not bare or bare in told:
        return False
    if is_normal(name) or split_of(name):
        return False
    dateless = _YEAR.sub(" ", name)
    parts = [part for part in _WORD.findall(dateless) if not is_contrast_word(part)]
    strange = _strangers(parts)
    alone = all(part.isalpha() for part in parts)
    if alone and dateless == name:
        return sum(map(len, strange)) > 1
    spoken = [word for word in strange if len(word) >= MIN_SPOKEN and _VOWEL.search(word)]
    return len(spoken) > (not alone) and patient_of(name) is None


def _spelt(part: str) -> list[str]:
    """The words that are run together in one (``JaneDoe``); ``BraTS`` is one of the trade as it stands."""
    return [part] if _is_plain(part.casefold()) else _HUMP.split(part)


def without_persons(name: str, told: Collection[str] = ()) -> str:
    """The name of a study or group with stand-ins for the parts that may be a person's."""
    parts = name.split("/")
    return "/".join(
        stand_in(part) if may_name_patient(stem_of(_NUMBERED.sub("", part)), told) else part for part in parts
    )


def is_full_name(name: str) -> bool:
    """Whether a part of a path may be a person's first and last name: two words at least, neither of the trade."""
    return may_name_patient(name) and sum(len(word) > 1 for word in _strangers(_WORD.findall(_YEAR.sub(" ", name)))) > 1


def _strangers(parts: list[str]) -> list[str]:
    """The words that are not of the trade. Words that describe count as such where they stand beside none."""
    spelt = [word for part in parts if part.isalpha() for word in _spelt(part)]
    found = [word for word in spelt if not _is_plain(word.casefold())]
    lone = len(found) == len(spelt)
    return [word for word in found if lone or word.casefold() not in DESCRIBING]


def _is_plain(word: str) -> bool:
    if word in PLAIN_WORDS or is_contrast_word(word) or is_normal(word) or split_of(word):
        return True
    if _OF_THE_TRADE.fullmatch(word):
        return True
    before = _BEFORE.match(word)
    if before and word[before.end() :] in PLAIN_WORDS:
        return True
    # Run together: braintumor, lowgrade.
    return any(word[:at] in PLAIN_WORDS and word[at:] in PLAIN_WORDS for at in range(3, len(word) - 3))
